"""Doctor, on this machine: Python, its system, and what that grants to a process."""

import math
import platform
import resource
import shutil
import sys
from pathlib import Path

from caption_flow.config.sizes import GIB, MIB, spelt
from caption_flow.doctor.finding import Finding, ok, problem, skipped, warning

OLDEST = (3, 11)
SYSTEMS = ("Linux", "Darwin")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
# What a process opens beside what its work asks for: libraries, sockets to Redis, files of vLLM.
BASE_FILES = 256
_SHARED_DEFAULT = 64 * MIB  # what containers have when nobody has said anything
_SHARED_EACH = GIB  # for each GPU that shares in a model


def python(version: tuple[int, ...] = sys.version_info[:3], system: str = "") -> Finding:
    """Look at the version of Python and its system."""
    system = system or platform.system()
    name = f"Python {'.'.join(map(str, version))} on {system} {platform.release()}"
    if version[:2] < OLDEST:
        return problem(
            "python", f"{name}: it is too old.", "Install Python 3.11 or later, and caption-flow."
        )
    if system not in SYSTEMS:
        return problem(
            "python",
            f"{name}: caption-flow runs on Linux and macOS.",
            "Run it there; on Windows, in WSL 2.",
        )
    return ok("python", f"{name}.")


def open_files(needed: int, connections: int = 0) -> Finding:
    """Look at how many files a process may open.

    `needed`: beside what every process opens. `connections`: that a proxy is to hold, which raises
    its own limit for them, as far as the hard one lets it.
    """
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    least = BASE_FILES + needed
    wanted = least + connections
    cure = (
        f"Raise the limit before the start: ulimit -n {wanted}, LimitNOFILE={wanted} in a unit of "
        f"systemd, or docker run --ulimit nofile={wanted}."
    )
    if hard < wanted:
        cure += f" The hard limit is {hard:,}, which only root raises: /etc/security/limits.conf."
    if soft < least:
        said = f"A process may open {soft:,} files, and these settings need about {least:,}."
        return problem("open files", said, cure)
    if hard < wanted:
        said = (
            f"A process may open {hard:,} files at most, too few for the {connections:,} "
            "connections that proxy.most_connections lets in."
        )
        return warning("open files", said, cure)
    limit = "as many files as it likes" if soft == math.inf else f"{soft:,} files"
    return ok("open files", f"A process may open {limit}.")


def _number(limit: int) -> float:
    return math.inf if limit == resource.RLIM_INFINITY else limit


def shared_memory(gpus: int, place: Path = SHARED_MEMORY) -> Finding:
    """Look at the memory that processes of vLLM share; `gpus`: on which one model lies."""
    if not place.is_dir():
        return skipped("shared memory", f"There is no {place} on this system.")
    free = shutil.disk_usage(place).free
    cure = (
        "Give the container more: docker run --shm-size 8g, or --ipc=host; or remove what fills "
        f"{place}."
    )
    if free <= _SHARED_DEFAULT:
        said = f"{place} has {spelt(free)} free, through which the processes of vLLM talk."
        # One that has a GPU to itself mostly does without.
        return (problem if gpus > 1 else warning)("shared memory", said, cure)
    if gpus > 1 and free < gpus * _SHARED_EACH:
        said = f"{place} has {spelt(free)} free; a model on {gpus} GPUs may want {gpus} GiB."
        return warning("shared memory", said, cure)
    return ok("shared memory", f"{place} has {spelt(free)} free.")
