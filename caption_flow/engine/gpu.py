"""Engine: how the GPU of a worker does, as NVML tells. Where there is none, nothing is told.

NVML is asked in a thread, every few seconds: a driver that is busy may take its time.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from msgspec import Struct

from caption_flow.lifecycle import Beside

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks


class Glance(Struct, frozen=True):
    """One look at a GPU."""

    name: str  # as the maker calls it
    memory_used: int  # bytes, by all processes
    memory_total: int  # bytes
    use: float  # share of the time since the last look in which it did something


class Gpu(Beside):
    """Looks at one GPU for as long as its context lasts."""

    def __init__(self, device: str, look: Callable[[str], Glance | None]) -> None:
        """`device`: its number, or its UUID, as CUDA_VISIBLE_DEVICES has it."""
        self._device = device
        self._look = look
        self._seen: Glance | None = None

    def figures(self) -> Mapping[str, float]:
        """Tell its memory in bytes, and how much of the time it did something."""
        if self._seen is None:
            return {}
        return {
            "gpu_memory_used": self._seen.memory_used,
            "gpu_memory_total": self._seen.memory_total,
            "gpu_use": self._seen.use,
        }

    def facts(self) -> Mapping[str, str]:
        """Name it."""
        return {} if self._seen is None else {"gpu": f"{self._seen.name} ({self._device})"}

    async def _run(self) -> None:
        while True:
            self._seen = await asyncio.to_thread(self._look, self._device)
            if self._seen is None:
                return  # a machine without NVML gets none while we run
            await asyncio.sleep(LOOK_SECONDS)


def device_of(visible: str | None) -> str:
    """Name the first GPU that a process sees, by what CUDA_VISIBLE_DEVICES says."""
    return (visible or "").split(",")[0].strip() or "0"


def look(device: str) -> Glance | None:
    """Look at a GPU; None where NVML knows none of this name, or is not there."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as exc:
        logger.debug("NVML does not answer: %s", exc)
        return None
    try:
        return _glance(nvml, _handle(nvml, device))
    except nvml.NVMLError as exc:
        logger.debug("NVML does not tell of %s: %s", device, exc)
        return None
    finally:
        nvml.nvmlShutdown()


def _nvml() -> Any:
    """Find the library: installed by itself, or in the vLLM that is loaded."""
    for name, needs in (("pynvml", ""), ("vllm.third_party.pynvml", "vllm")):
        if not needs or needs in sys.modules:  # vLLM takes seconds to load, for no figures
            with suppress(ImportError):
                return import_module(name)
    return None


def _handle(nvml: Any, device: str) -> Any:
    if device.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(device))
    return nvml.nvmlDeviceGetHandleByUUID(device)


def _glance(nvml: Any, handle: Any) -> Glance:
    name = nvml.nvmlDeviceGetName(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    use = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    named = name.decode() if isinstance(name, bytes) else str(name)
    return Glance(named, int(memory.used), int(memory.total), use)
