"""Feed: the source becomes chunk descriptors, lazily, a bounded number ahead of the feeders.

Every feeder plans too, but one of them at a time: the script `plan` moves the position only for
who knows it. Who is beaten waits, and takes over when the position no longer moves.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice

import msgspec

from caption_flow.dataset.known import Known
from caption_flow.dataset.source import ShardChanged, Source
from caption_flow.errors import CaptionFlowError
from caption_flow.feed.position import Position
from caption_flow.feed.selection import EVERYTHING, Selection
from caption_flow.feed.sift import sift
from caption_flow.feed.whereabouts import Whereabouts
from caption_flow.lifecycle import Drain
from caption_flow.model import Chunk, Listed
from caption_flow.patience import Patience
from caption_flow.queue.ports import FeedQueue

logger = logging.getLogger(__name__)

BACKLOG_CHUNKS = 16  # planned ahead of the feeders; what bounds the plan in Redis
FULL_SECONDS = 0.2  # between two tries while the backlog is full
MOST_CHANGES = 3  # of one shard while it is planned, before it is no use to begin again
BEATEN_SECONDS = 5.0  # a position that stands still for so long has no planner


class PlanForgotten(CaptionFlowError):
    """Redis has lost the plan, and with it the job, as after a flush."""


class Planner:
    """Plans the source for as long as nobody else does."""

    def __init__(
        self,
        queue: FeedQueue,
        source: Source,
        whereabouts: Whereabouts,
        *,
        introduce: Callable[[], Awaitable[object]],
        chunk_size: int,
        drain: Drain,
        selection: Selection = EVERYTHING,
    ) -> None:
        """`introduce` tells the queue what it must know of the job, should it forget that."""
        self._selection = selection
        self._queue = queue
        self._source = source
        self._whereabouts = whereabouts
        self._introduce = introduce
        self._known = Known(())
        self._begun: frozenset[str] | None = frozenset()  # not planned for now; None: all shards
        # The plan that these were read for, and the epoch of the queue then.
        self._ready_for: tuple[int, str, str] | None = None
        self._chunk_size = chunk_size
        self._drain = drain
        self._patience = Patience(drain)
        self._stands = ""  # the position as the queue has it
        self._joined = 0  # first generation that can plan for us what is there by now
        self._fulfilled: Position | None = None  # where the selection was planned to its end
        self._changes: Counter[str] = Counter()  # of each shard, while it was planned
        self._fresh: set[str] = set()  # shards that were planned by us before the others
        self.shards = 0  # planned by us to their end
        self.skipped = 0  # samples passed, since they are captioned, given up or on their way

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
                self._joined, self._fulfilled = 0, None
            except ShardChanged as exc:
                await self._begin_anew(exc)

    async def _plan(self) -> None:
        """Plan what is wanted here, after what others want that are at it already."""
        while not self._drain.asked:
            position = await self._plan_to_the_end(await self._begin())
            if position.done and self._is_ours(position):
                self._fulfilled = position
            if self._fulfilled:
                return

    def _is_ours(self, position: Position) -> bool:
        """Whether it is of a plan for our selection, and of none that we found at its end."""
        return position.generation >= self._joined and position.selection == self._selection

    async def is_fulfilled(self) -> bool:
        """Whether what is wanted here was planned to its end, and the queue still knows of it."""
        now = Position.decode(await self._patience(self._queue.position))
        return self._fulfilled is not None and not now.is_before(self._fulfilled)

    async def _plan_to_the_end(self, position: Position) -> Position:
        while not position.done and not self._drain.asked:
            await self._make_ready(position)
            position, beaten = await self._plan_from(position)
            if beaten and not position.done:
                position = await self._wait_while_others_plan(position)
        return position

    async def _begin(self) -> Position:
        """Find the position. Where all is planned already, begin again for what is new."""
        position = await self._look()
        if self._fulfilled and position.is_before(self._fulfilled):
            logger.warning("The queue has gone back to before our plan. Planning anew what is new")
            self._fulfilled = None
        if not self._stands:
            first = Position(word=_word(), selection=self._selection)
            position = await self._add(None, await self._fresh_first(first))
        while position.done and not self._fulfilled and not self._drain.asked:
            anew = position.anew(_word(), self._selection)
            position = await self._add(None, await self._fresh_first(anew))
        if not self._fulfilled:
            self._joined = max(self._joined, position.generation)
        return position

    async def _fresh_first(self, start: Position) -> Position:
        """Plan shards first that no part has a row of: they need not wait until all parts are read.

        Not where the first samples of the source are wanted, whatever became of them.
        """
        if start.selection.limit is not None:
            return start
        there = await self._patience(self._whereabouts.has_parts)
        return msgspec.structs.replace(start, fresh_only=there)

    async def _begin_anew(self, why: ShardChanged) -> None:
        """Plan from the start what is neither captioned nor on its way."""
        position = Position.decode(self._stands)
        self._changes[position.shard] += 1
        if self._changes[position.shard] >= MOST_CHANGES:
            raise why
        logger.warning("%s Planning anew", why)
        await self._add(None, position.again(_word()))

    async def _make_ready(self, position: Position) -> None:
        """Introduce the job and learn what is known, both after this plan began, and once.

        Whatever the queue forgets later, it forgets the plan too, which is noticed. What was read
        for an earlier plan lacks what was captioned since, and would have that planned again.
        """
        plan = (position.generation, position.word)
        # In another epoch the plan may have gone back, to before what was left out as planned.
        if self._ready_for != (*plan, await self._patience(self._queue.epoch)):
            await self._patience(self._introduce)
            epoch = await self._read_undisturbed(position)
            self._ready_for = (*plan, epoch)

    async def _read_undisturbed(self, position: Position) -> str:
        """Find what is known, anew where the queue went back meanwhile: so samples go upstream."""
        while True:
            epoch = await self._patience(self._queue.epoch)
            await self._patience(lambda: self._read(position))
            if await self._patience(self._queue.epoch) == epoch:
                return epoch

    async def _read(self, position: Position) -> None:
        later, midway = position.generation > 1, bool(position.shard)
        # Let go of what was read for an earlier plan: there may be no room for both.
        self._ready_for, self._known = None, Known(())
        if not position.fresh_only:
            self._begun = frozenset()
            self._known = await self._whereabouts.known(later=later, midway=midway)
        elif (found := await self._whereabouts.beginnings(later=later)) is not None:
            self._begun, self._known = found.shards, found.known
        else:
            self._begun, self._known = None, Known(())

    async def _look(self) -> Position:
        return self._note(await self._patience(self._queue.position))

    def _note(self, stands: str) -> Position:
        if self._stands and not stands:
            raise PlanForgotten
        self._stands = stands
        return Position.decode(stands)

    async def _plan_from(self, position: Position) -> tuple[Position, bool]:
        """Add chunks until the end, or until somebody else has moved the position: the flag."""
        async for chunk, following in self._steps(position):
            position = await self._add(chunk, following)
            if position != following:
                return position, True
            if self._drain.asked:
                break
        return position, False

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
        selection, begun = position.selection, self._begun
        shards = self._source.shards(position.shard or None)
        while selection.left(position.selected) != 0 and begun is not None:
            shard = await asyncio.to_thread(next, shards, None)
            if shard is None:
                break
            if self._drain.asked:
                return
            if shard in begun or not selection.admits_shard(shard):
                continue
            position = await asyncio.to_thread(self._enter, position, shard)
            names = self._source.names(shard, position.last)
            while run := await asyncio.to_thread(_take, names, self._chunk_size):
                chunk, position = self._chunk(position, run)
                yield chunk, position
                if selection.left(position.selected) == 0:
                    break
            self.shards += shard not in self._fresh
            if position.fresh_only:
                self._fresh.add(shard)
        yield None, position.ended(_word())

    def _enter(self, position: Position, shard: str) -> Position:
        """Begin a shard; or go on in it, if it is what it was."""
        fingerprint = self._source.fingerprint(shard)
        if shard != position.shard:
            return position.at(shard, fingerprint)
        if position.after and fingerprint != position.fingerprint:
            raise ShardChanged(f"{shard} has changed since a part of it was planned.")
        return msgspec.structs.replace(position, fingerprint=fingerprint)

    def _chunk(self, position: Position, run: list[Listed]) -> tuple[Chunk | None, Position]:
        """Make a chunk of what is wanted of some samples; None where that is nothing."""
        sifted = sift(
            position.shard, run, position.selection, self._known, selected=position.selected
        )
        wanted = sifted.new
        following = position.past(run[-1], len(run), sifted.selected)
        if position.shard not in self._fresh:  # else it is what we have just planned
            self.skipped += sifted.known
        if not wanted:
            return None, following
        return Chunk(
            id=_chunk_id(position),
            dataset=self._source.dataset,
            shard=position.shard,
            names=tuple(listed.name for listed in wanted),
            places=tuple(one.place for one in wanted) if any(one.place for one in wanted) else (),
            fingerprint=position.fingerprint,
        ), following


def _chunk_id(position: Position) -> str:
    """Name a chunk as no other, also of another generation that may still wait."""
    generation = position.generation
    suffix = f".{generation}" if generation > 1 else ""
    return f"{position.shard}:{position.ordinal}{suffix}"


def generation_of(chunk: Chunk) -> str:
    """Tell the chunks of one generation from those of another, by their names."""
    return chunk.id.removeprefix(f"{chunk.shard}:").partition(".")[2]


def _word() -> str:
    return secrets.token_hex(4)


def _take(names: Iterator[Listed], count: int) -> list[Listed]:
    return list(islice(names, count))
