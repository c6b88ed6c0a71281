"""Engine `openai`: what wakes who waits for a server."""

import asyncio
import math


class Bell:
    """Rung when something has changed; all who wait look again."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait until it is rung, at most so long; for ever where that is infinite."""
        rung = self._rung
        try:
            async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                await rung.wait()
        except TimeoutError:
            pass
