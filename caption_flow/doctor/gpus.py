"""Doctor, the GPUs: which ones a worker would see here.

Asked of NVIDIA's library if its binding is installed, else of nvidia-smi, else of torch in another
process, which also knows GPUs of other makers.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from caption_flow.engine.nvml import HIDING, Card, cards, visible

SECONDS = 60.0  # for a program to answer
_MIB = 1 << 20
_QUERY = "index,uuid,name,memory.total,memory.free"
_PROGRAM = """
import json, torch
cuda = torch.cuda
found = []
for i in range(cuda.device_count()):
    gpu, (free, _) = cuda.get_device_properties(i), cuda.mem_get_info(i)
    found.append([i, "", gpu.name, gpu.total_memory, free])
print(json.dumps(found))
"""


class Seen(Struct, frozen=True):
    """What a process sees."""

    gpus: tuple[Card, ...]
    hidden: str = ""  # the variable that hides others, as it is set
    by: str = ""  # who has told; empty: nobody could


def look(environ: Mapping[str, str], *, by_torch: bool) -> Seen:
    """Find the GPUs that a worker with this environment would see, in the order of its ids.

    `by_torch`: if nobody else tells, ask torch, which takes seconds.
    """
    for by, ask in (("NVML", cards), ("nvidia-smi", _by_program)):
        gpus = ask()
        if gpus is not None:
            return Seen(tuple(visible(gpus, environ)), _hiding(environ), by)
    gpus = _by_torch(environ) if by_torch else None  # which goes by the variables itself
    return Seen(tuple(gpus or ()), _hiding(environ), "" if gpus is None else "torch")


def _hiding(environ: Mapping[str, str]) -> str:
    return next((f"{name}={environ[name]}" for name in HIDING if name in environ), "")


def _by_program() -> list[Card] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    told = _said([program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"])
    return None if told is None else _read(told, _row)


def _row(line: str) -> Card:
    index, uuid, name, total, free = (cell.strip() for cell in line.split(","))
    return Card(int(index), uuid, name, int(total) * _MIB, int(free) * _MIB)


def _by_torch(environ: Mapping[str, str]) -> list[Card] | None:
    told = _said([sys.executable, "-c", _PROGRAM], environ)
    if told is None:
        return None
    lines = told.strip().splitlines()  # the last; plugins may print before it
    found = (
        _read(lines[-1], lambda line: [Card(*row) for row in json.loads(line)]) if lines else None
    )
    return found[0] if found else None


def _read(told: str, read: Callable[[str], Any]) -> list[Any] | None:
    """Read line by line; None where that is not what was asked for."""
    try:
        return [read(line) for line in told.strip().splitlines()]
    except (ValueError, TypeError):
        return None


def _said(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str | None:
    """Run a program that only tells; None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - of the driver, or our own Python
            command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environ
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
