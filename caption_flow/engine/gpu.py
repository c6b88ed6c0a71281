"""Engine: how the GPU of a worker does, as NVML tells. Where there is none, nothing is told.

NVML is asked in a thread, every few seconds: a driver that is busy may take its time.
"""

import asyncio
from collections.abc import Callable, Mapping

from caption_flow.engine.aside import aside
from caption_flow.engine.nvml import Card, cards, visible
from caption_flow.lifecycle import Beside

LOOK_SECONDS = 5.0  # between two looks


class Gpu(Beside):
    """Looks at one GPU for as long as its context lasts."""

    def __init__(self, look: Callable[[], Card | None]) -> None:
        self._look = look
        self._seen: Card | None = None

    def figures(self) -> Mapping[str, float]:
        """Tell its memory in bytes, and how much of the time it did something."""
        if self._seen is None:
            return {}
        use = {} if self._seen.use is None else {"gpu_use": self._seen.use}
        taken = self._seen.total - self._seen.free
        return {"gpu_memory_used": taken, "gpu_memory_total": self._seen.total, **use}

    @property
    def name(self) -> str:
        """What its maker calls it; "" where nothing is told."""
        return "" if self._seen is None else self._seen.name

    def facts(self) -> Mapping[str, str]:
        """Name it."""
        return {} if self._seen is None else {"gpu": f"{self._seen.name} ({self._seen.index})"}

    async def _run(self) -> None:
        # On after a look in vain, too: a driver has bad moments, and vLLM, once it is loaded,
        # brings the library.
        while True:
            self._seen = await aside(self._look)
            await asyncio.sleep(LOOK_SECONDS)


def first(environ: Mapping[str, str]) -> Card | None:
    """Look at the first GPU that a process with this environment sees."""
    return next(iter(visible(cards() or (), environ)), None)
