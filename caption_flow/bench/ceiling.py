"""Bench: the engine by itself: fed from memory, as many requests at once as are wanted.

Its pace is taken from one finished visit to another, after as many as there are at once: the first
ones find an engine that is empty.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.bench.asked import Asked
from caption_flow.engine.cache import CacheUse, Watched
from caption_flow.engine.port import Engine, Output, Request
from caption_flow.errors import BadImage, EngineFailed, EngineRefused
from caption_flow.lifecycle import cancel

LEAST = 16  # captions over which a pace is taken, where that takes not all too long
LONGEST = 4  # times the seconds that were asked, until so many are there
_FAILED = 0.1  # of the visits: from there on the pace says nothing


class Pace(Struct, frozen=True):
    """How fast an engine was with so many requests at once."""

    load: int
    captions: int
    seconds: float
    prompt_tokens: int
    output_tokens: int
    failed: int = 0  # visits that gave no caption
    cache: CacheUse | None = None  # of the engine; None where it tells nothing of it

    @property
    def rate(self) -> float:
        """Captions a second."""
        return self.captions / self.seconds

    @property
    def tokens(self) -> float:
        """Tokens put out a second."""
        return self.output_tokens / self.seconds


async def measured(engine: Engine, images: Sequence[Asked], *, load: int, seconds: float) -> Pace:
    """Keep so many requests in an engine for so long, and tell its pace. EngineFailed: it has none.

    An engine that dies raises what it dies of.
    """
    feeding = _Feeding(engine, images, load)
    _cache_use(engine)  # what was before is of others
    tasks = [asyncio.create_task(feeding.run()) for _ in range(load)]
    ended = asyncio.create_task(feeding.ended(seconds))
    try:
        done, _ = await asyncio.wait({*tasks, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {ended}:
            task.result()
        return replace(ended.result(), cache=_cache_use(engine))
    finally:
        await cancel(*tasks, ended)


def _cache_use(engine: Engine) -> CacheUse | None:
    return engine.cache_use() if isinstance(engine, Watched) else None


class _Mark(Struct, frozen=True):
    at: float
    captions: int
    prompt_tokens: int
    output_tokens: int


class _Feeding:
    """Visits that follow each other, and what came of them."""

    def __init__(self, engine: Engine, images: Sequence[Asked], load: int) -> None:
        self._engine = engine
        self._images = images
        self._load = load
        self._slots = asyncio.Semaphore(load)
        self._numbers = count()
        self._captions = self._prompt_tokens = self._output_tokens = self._failed = 0
        self._first: _Mark | None = None  # when the engine was full
        self._last: _Mark | None = None  # after the newest round of visits since then
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Make one visit after the other."""
        while True:
            number = next(self._numbers)
            try:
                await self._visit(self._images[number % len(self._images)], number)
            except (BadImage, EngineFailed, EngineRefused) as exc:
                self._failed += 1
                if self._failed > max(self._load, _FAILED * number):
                    raise EngineFailed(f"The engine fails too often to be measured: {exc}") from exc
            await asyncio.sleep(0)  # an engine that answers at once lets others in, too

    async def ended(self, seconds: float) -> Pace:
        """Wait until enough is known."""
        while (pace := self._pace(seconds)) is None:
            self._news.clear()
            await self._news.wait()
        return pace

    async def _visit(self, image: Asked, number: int) -> None:
        for requests in image.visit(number):
            # All of them, whatever one comes to: none is left in the engine when a visit is over.
            told = await asyncio.gather(*map(self._ask, requests), return_exceptions=True)
            for output in told:
                if isinstance(output, BaseException):
                    raise output
                self._prompt_tokens += output.prompt_tokens
                self._output_tokens += output.output_tokens
        self._captions += 1
        self._mark()

    async def _ask(self, request: Request) -> Output:
        async with self._slots:
            return await self._engine.caption(request)

    def _mark(self) -> None:
        if self._captions < self._load:
            return
        now = time.monotonic()
        mark = _Mark(now, self._captions, self._prompt_tokens, self._output_tokens)
        if self._first is None:
            self._first = mark
        elif (mark.captions - self._first.captions) % self._load == 0:
            # Visits that began together end together: the first of them stand for all of a round.
            self._last = mark
            self._news.set()

    def _pace(self, seconds: float) -> Pace | None:
        """Tell the pace; None while it is not known well enough."""
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        pace = Pace(
            load=self._load,
            captions=last.captions - first.captions,
            seconds=last.at - first.at,
            prompt_tokens=last.prompt_tokens - first.prompt_tokens,
            output_tokens=last.output_tokens - first.output_tokens,
            failed=self._failed,
        )
        return pace if _is_enough(pace, seconds) else None


def _is_enough(pace: Pace, seconds: float) -> bool:
    least = seconds if pace.captions >= LEAST else LONGEST * seconds
    return pace.seconds >= least


def loads(capacity: int, most: int | None) -> list[int]:
    """Say which loads to compare: what is configured first, then half and twice as much.

    `most`: what an engine takes at once, however much is asked.
    """
    twice = 2 * capacity if most is None else min(2 * capacity, most)
    return list(dict.fromkeys((capacity, max(1, capacity // 2), max(capacity, twice))))
