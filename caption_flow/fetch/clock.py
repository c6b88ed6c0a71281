"""Fetch: the time of one try, which stands still while the try waits for others."""

import asyncio
from types import TracebackType
from typing import Self

from caption_flow.fetch.failures import TIMEOUT, FetchFailed


class Clock:
    """Ends what it surrounds after so many seconds of running, and at a deadline in any case."""

    def __init__(self, seconds: float, what: str, deadline: float | None = None) -> None:
        self.first = 0.0  # when it first ran, on the clock of the event loop
        self._left = seconds
        self._deadline = deadline
        self._what = what
        self._timer = asyncio.timeout_at(deadline)
        self._over = False

    def run(self) -> None:
        """Let the time run."""
        self._since = asyncio.get_running_loop().time()
        self.first = self.first or self._since
        end = self._since + self._left
        self._timer.reschedule(end if self._deadline is None else min(end, self._deadline))

    def stand(self) -> None:
        """Stop the time, but for the deadline."""
        if not self._over and not self._timer.expired():
            self._left -= asyncio.get_running_loop().time() - self._since
            self._timer.reschedule(self._deadline)

    async def __aenter__(self) -> Self:
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._over = True
        try:
            await self._timer.__aexit__(kind, exc, where)
        except TimeoutError as timeout:
            raise FetchFailed(TIMEOUT, f"{self._what} was not done in its time") from timeout
