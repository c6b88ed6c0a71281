"""Feed: the source becomes chunk descriptors, lazily, a bounded number ahead of the feeders.

Every feeder plans too, but one of them at a time: the script `plan` moves the position only for
who knows it. Who is beaten waits, and takes over when the position no longer moves.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice

import msgspec

from caption_flow.dataset.known import Known, known_in
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source, sample_id
from caption_flow.errors import CaptionFlowError
from caption_flow.feed.position import Position
from caption_flow.lifecycle import Drain
from caption_flow.model import Chunk
from caption_flow.patience import Patience
from caption_flow.queue.ports import FeedQueue

logger = logging.getLogger(__name__)

BACKLOG_CHUNKS = 16  # planned ahead of the feeders; what bounds the plan in Redis
FULL_SECONDS = 0.2  # between two tries while the backlog is full
BEATEN_SECONDS = 5.0  # a position that stands still for so long has no planner


class PlanForgotten(CaptionFlowError):
    """Redis has lost the plan, and with it the job, as after a flush."""


class Planner:
    """Plans the source for as long as nobody else does."""

    def __init__(
        self,
        queue: FeedQueue,
        source: Source,
        folder: PartFolder,
        *,
        introduce: Callable[[], Awaitable[object]],
        chunk_size: int,
        drain: Drain,
    ) -> None:
        """`introduce` tells the queue what it must know of the job, should it forget that."""
        self._queue = queue
        self._source = source
        self._folder = folder
        self._introduce = introduce
        self._known = Known(())
        self._ready_for: tuple[int, str] | None = None  # the plan that `_known` was read for
        self._chunk_size = chunk_size
        self._drain = drain
        self._patience = Patience(drain)
        self._stands = ""  # the position as the queue has it

    async def run(self) -> None:
        """Plan until the source is at its end, whoever planned it; anew if the queue forgets."""
        while True:
            try:
                return await self._plan()
            except PlanForgotten:
                logger.warning(
                    "The queue has forgotten this job, as after a flush. Planning anew what "
                    "stands in no part"
                )
                self._stands = ""

    async def _plan(self) -> None:
        position = await self._begin()
        while not position.done and not self._drain.asked:
            await self._make_ready(position)
            position = await self._plan_from(position)
            if not position.done:
                position = await self._wait_while_others_plan(position)

    async def _begin(self) -> Position:
        """Find the position; when all is planned and settled, begin again for what is new."""
        position = await self._look()
        if not self._stands:
            return await self._add(None, Position(word=_word()))
        if position.done and (await self._patience(self._queue.counts)).done:
            anew = Position(generation=position.generation + 1, word=_word())
            return await self._add(None, anew)
        return position

    async def _make_ready(self, position: Position) -> None:
        """Introduce the job and learn what is known, both after this plan began, and once.

        Whatever the queue forgets later, it forgets the plan too, which is noticed. What was read
        for an earlier plan lacks what was captioned since, and would have that planned again.
        """
        plan = (position.generation, position.word)
        if self._ready_for != plan:
            await self._patience(self._introduce)
            self._known = await self._read_known(position)
            self._ready_for = plan

    async def _read_known(self, position: Position) -> Known:
        """Find what is captioned or given up already, so that only the rest is planned."""
        # In the first generation nothing that Redis knows of is planned twice; what stands in
        # the folder then is from before Redis was emptied.
        later = position.generation > 1
        recorded = await self._patience(self._queue.parts) if later else set[str]()
        dead = await self._patience(self._queue.dead_ids)
        return await asyncio.to_thread(known_in, self._folder, recorded, dead)

    async def _look(self) -> Position:
        return self._note(await self._patience(self._queue.position))

    def _note(self, stands: str) -> Position:
        if self._stands and not stands:
            raise PlanForgotten
        self._stands = stands
        return Position.decode(stands)

    async def _plan_from(self, position: Position) -> Position:
        """Add chunks until the end, or until somebody else has moved the position."""
        async for chunk, following in self._steps(position):
            position = await self._add(chunk, following)
            if position != following or self._drain.asked:
                break
        return position

    async def _add(self, chunk: Chunk | None, following: Position) -> Position:
        """Add one chunk as soon as there is room; answers where the plan stands then."""
        while True:
            planned = await self._patience(
                lambda: self._queue.plan(
                    self._stands,
                    following.encode(),
                    chunk,
                    backlog=BACKLOG_CHUNKS,
                    done=following.done,
                )
            )
            stands = self._note(planned.position)
            if planned.status != "full" or await self._drain.wait(FULL_SECONDS):
                return stands

    async def _wait_while_others_plan(self, position: Position) -> Position:
        while not await self._drain.wait(BEATEN_SECONDS):
            now = await self._look()
            if now.done or now == position:
                return now
            position = now
        return position

    async def _steps(self, position: Position) -> AsyncIterator[tuple[Chunk | None, Position]]:
        """Yield each chunk from here on with the position after it; the last one is the end.

        Asked to drain, it stops between two shards, and who takes what it yields does in one.
        """
        shards = self._source.shards(position.shard or None)
        while (shard := await asyncio.to_thread(next, shards, None)) is not None:
            if self._drain.asked:
                return
            if shard != position.shard:
                position = position.at(shard)
            names = self._source.names(shard, position.after or None)
            while run := await asyncio.to_thread(_take, names, self._chunk_size):
                ordinal = position.ordinal + len(run)
                following = position.at(shard, run[-1], ordinal)
                yield self._chunk(position, run), following
                position = following
        yield None, msgspec.structs.replace(position, done=True)

    def _chunk(self, position: Position, names: list[str]) -> Chunk | None:
        ids = [sample_id(position.shard, name) for name in names]
        unknown = set(self._known.unknown(ids))
        wanted = tuple(n for n, id_ in zip(names, ids, strict=True) if id_ in unknown)
        if not wanted:
            return None
        return Chunk(
            id=f"{position.shard}:{position.ordinal}",
            dataset=self._source.dataset,
            shard=position.shard,
            names=wanted,
        )


def _word() -> str:
    return secrets.token_hex(4)


def _take(names: Iterator[str], count: int) -> list[str]:
    return list(islice(names, count))
