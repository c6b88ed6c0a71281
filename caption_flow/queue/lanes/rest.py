"""Queue: how long who serves several lanes rests between two looks at all of them."""

import asyncio

# Seconds. What comes in the longest rest is found by the look that follows it, within a second.
LEAST, MOST = 0.02, 0.8


class Rest:
    """Short where something came just now, and longer each time that nothing does.

    To wait in one lane, as who serves a single one does, would be to let the others wait.
    """

    def __init__(self) -> None:
        self._seconds = LEAST
        self._over = asyncio.Event()

    def end(self) -> None:
        """Note that something came, or that something is there to be found."""
        self._seconds = LEAST
        self._over.set()

    async def take(self, most: float) -> None:
        """Wait until there is something, but not longer than so many seconds."""
        seconds, self._seconds = min(self._seconds, most), min(MOST, 2 * self._seconds)
        self._over.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass
