"""Proxy: channels that found nothing to claim stand in line until there is something.

One reader watches the streams for all of them, see queue/news.py, so that thousands that wait cost
Redis as much as one. Who has stood longest is called first.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager

from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside
from caption_flow.queue.news import News
from caption_flow.retry import Backoff

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5  # between two calls for nothing new: leases may have run out
TURN_SECONDS = 1.0  # that the others wait for one who was called
DRY_SECONDS = 0.02  # after a call in vain: another proxy was faster


class Turn:
    """A place in the line."""

    def __init__(self, stages: Collection[str]) -> None:
        self.stages = frozenset(stages)
        self.called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.more = False  # as much was found as was wanted, so that there may be more


class Line(Beside):
    """The line of one process."""

    def __init__(self, news: News) -> None:
        self._news = news
        self._turns: dict[Turn, None] = {}  # in the order in which they came
        self._stages: Counter[str] = Counter()  # that they wait for
        self._anybody = asyncio.Event()
        self._next_tick = 0.0  # on the monotonic clock
        self._failures = 0

    def awaits(self, stages: Collection[str]) -> bool:
        """Whether somebody stands in line for any of these stages."""
        return any(self._stages[stage] for stage in stages)

    @asynccontextmanager
    async def turn(self, stages: Collection[str]) -> AsyncIterator[Turn]:
        """Wait until it is worth looking for samples of these stages."""
        turn = Turn(stages)
        self._turns[turn] = None
        self._stages.update(turn.stages)
        self._anybody.set()
        try:
            await turn.called
            yield turn
        finally:
            self._leave(turn)
            turn.over.set()

    def _leave(self, turn: Turn) -> None:
        if turn in self._turns:
            del self._turns[turn]
            self._stages.subtract(turn.stages)

    async def _run(self) -> None:
        while True:
            if not self._turns:
                self._anybody.clear()
                await self._anybody.wait()
            try:
                await self._round()
                self._failures = 0
            except Exception as exc:
                # Of any kind: nobody would notice the end of this task but those who wait.
                ours = isinstance(exc, CaptionFlowError)
                logger.log(logging.DEBUG if ours else logging.ERROR, "No look: %r", exc)
                self._failures += 1
                await asyncio.sleep(Backoff(ceiling=2.0).delay(self._failures))

    async def _round(self) -> None:
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK_SECONDS
            for turn in list(self._covering()):
                await self._call(turn)
        waited_for = [stage for stage, count in self._stages.items() if count > 0]
        if not waited_for:
            return
        for stage in await self._news.waiting(waited_for):
            await self._call_for(stage)

    async def _call_for(self, stage: str) -> None:
        """Call one after the other for as long as there may be more."""
        while (turn := self._first_for(stage)) is not None:
            if not await self._call(turn):
                return

    def _covering(self) -> Iterator[Turn]:
        """Pick the first turns that together look at all stages that are waited for."""
        seen: set[str] = set()
        for turn in self._turns:
            if not turn.stages <= seen:
                seen |= turn.stages
                yield turn

    def _first_for(self, stage: str) -> Turn | None:
        return next((turn for turn in self._turns if stage in turn.stages), None)

    async def _call(self, turn: Turn) -> bool:
        """Let one look, and wait until it has; answers whether there may be more."""
        self._leave(turn)
        if not turn.called.done():
            turn.called.set_result(None)
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await turn.over.wait()
        except TimeoutError:
            return True
        if not turn.more:
            await asyncio.sleep(DRY_SECONDS)
        return turn.more
