"""Doctor, the GPUs: which ones a worker would see here.

Asked of NVIDIA's library if its binding is installed, else of nvidia-smi, else of torch in another
process, which also knows GPUs of other makers.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from msgspec import Struct

SECONDS = 60.0  # for a program to answer
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
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


class Gpu(Struct, frozen=True):
    """One GPU of this machine."""

    index: int  # among all, as nvidia-smi counts
    uuid: str  # "" where it is not told
    name: str
    total: int  # bytes of memory
    free: int  # of them now


class Seen(Struct, frozen=True):
    """What a process sees."""

    gpus: tuple[Gpu, ...]
    hidden: str = ""  # the variable that hides others, as it is set
    by: str = ""  # who has told; empty: nobody could


def look(environ: Mapping[str, str], *, by_torch: bool) -> Seen:
    """Find the GPUs that a worker with this environment would see, in the order of its ids.

    `by_torch`: if nobody else tells, ask torch, which takes seconds.
    """
    for by, ask in (("NVML", _by_library), ("nvidia-smi", _by_program)):
        gpus = ask()
        if gpus is not None:
            return _visible(gpus, environ, by)
    gpus = _by_torch(environ) if by_torch else None  # which goes by the variables itself
    return Seen(tuple(gpus or ()), _hiding(environ), "" if gpus is None else "torch")


def _visible(gpus: Sequence[Gpu], environ: Mapping[str, str], by: str) -> Seen:
    """Leave out what a variable hides, which the driver's own tools do not mind."""
    listed = environ.get(VISIBLE[0])
    if listed is None:
        return Seen(tuple(gpus), by=by)
    chosen = []
    for word in map(str.strip, listed.split(",")):
        gpu = next((one for one in gpus if _is_named(one, word)), None)
        if gpu is None:  # CUDA, too, sees those before the first that is not there
            break
        chosen.append(gpu)
    return Seen(tuple(chosen), _hiding(environ), by)


def _is_named(gpu: Gpu, word: str) -> bool:
    return word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def _hiding(environ: Mapping[str, str]) -> str:
    return next((f"{name}={environ[name]}" for name in VISIBLE if name in environ), "")


def _by_library() -> list[Gpu] | None:
    try:
        nvml: Any = import_module("pynvml")
    except Exception:  # of any kind: it is not ours, and may look for what is not there
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        return [_gpu_of(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _gpu_of(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    name, uuid = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle)
    return Gpu(index, _text(uuid), _text(name), int(memory.total), int(memory.free))


def _text(told: str | bytes) -> str:
    return told.decode(errors="replace") if isinstance(told, bytes) else told


def _by_program() -> list[Gpu] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    told = _said([program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"])
    return None if told is None else _read(told, _row)


def _row(line: str) -> Gpu:
    index, uuid, name, total, free = (cell.strip() for cell in line.split(","))
    return Gpu(int(index), uuid, name, int(total) * _MIB, int(free) * _MIB)


def _by_torch(environ: Mapping[str, str]) -> list[Gpu] | None:
    told = _said([sys.executable, "-c", _PROGRAM], environ)
    if told is None:
        return None
    lines = told.strip().splitlines()  # the last; plugins may print before it
    found = (
        _read(lines[-1], lambda line: [Gpu(*row) for row in json.loads(line)]) if lines else None
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
