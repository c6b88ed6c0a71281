"""Feed: claimed chunks become samples in the queue, as fast as its budget allows."""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import msgspec

from caption_flow import traces
from caption_flow.codec.weight import weight
from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import ShardChanged, Source
from caption_flow.errors import SourceError
from caption_flow.feed.alone import LoneLooks, needs_caution
from caption_flow.feed.look import offers
from caption_flow.feed.planner import Planner, generation_of
from caption_flow.feed.position import Position
from caption_flow.feed.tally import Tally
from caption_flow.keeper import Keeper
from caption_flow.lately import Spells
from caption_flow.lifecycle import Drain, cancel
from caption_flow.logs import about
from caption_flow.model import ChunkLease, EntryId, Offer
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import Begun, Budget, FeedQueue, Offered, Room

logger = logging.getLogger(__name__)

CHUNKS_AT_ONCE = 2  # while Redis takes in the samples of one, those of the other are sent
REPORT_SECONDS = 30.0  # between two lines on how far it is
MOST_CHANGES = 3  # of one shard, before it is no use to plan it anew
PAUSE_SECONDS = 0.1  # between two looks whether a pause is over
ROOM_SECONDS = 0.02  # between two looks for room while the budget is full


class Feeder:
    """One feeder; several may share one source."""

    def __init__(
        self,
        queue: FeedQueue,
        source: Source,
        planner: Planner,
        *,
        images: ImagesConfig,
        budget: Budget,
        lease_seconds: float,
        drain: Drain,
        paused: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._source = source
        self._planner = planner
        self._images = images
        self._budget = budget
        self._drain = drain
        self._paused = paused
        self._patience = Patience(drain)
        self._keeper = Keeper(
            queue.renewals, held=self._held, lost=self._drop, lease_seconds=lease_seconds
        )
        self._lone_looks = LoneLooks(queue, source, images=images, drain=drain)
        self._claiming = asyncio.Lock()
        self._places = asyncio.Semaphore(CHUNKS_AT_ONCE)  # one for each chunk that is fed
        self._leases: dict[EntryId, ChunkLease] = {}
        # Fingerprints and generations of what was withdrawn, by shard.
        self._left_behind: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._room = Room(bytes=0, samples=0)
        self._full = Spells()  # in which there was no room
        self._last_error: dict[str, str] = {}
        self.tally = Tally()

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        planner = self._planner
        return {
            "shards": planner.shards,
            "skipped": planner.skipped,
            **self.tally.figures(),
            "budget_bytes": self._budget.bytes,
            "budget_samples": self._budget.samples,
            "full_lately": self._full.lately(),
        }

    def facts(self) -> dict[str, str]:
        """Name the data set, the shards that are fed, and what was given up last."""
        shards = dict.fromkeys(lease.chunk.shard for lease in self._held())
        told = {"dataset": self._source.dataset, "shards": ", ".join(shards)}
        return told | self._last_error

    def report(self) -> str:
        """Say what was done so far."""
        return self.tally.sentence(shards=self._planner.shards, skipped=self._planner.skipped)

    async def run(self) -> None:
        """Plan and feed until the source is at its end, or until asked to drain."""
        self._plan()
        reporting = asyncio.create_task(self._report_now_and_then())
        try:
            async with self._keeper:
                await self._feed_side_by_side()
            await self._planning
        except Interrupted as exc:
            logger.warning("%s What is not offered stays in its chunk", exc)
        except SourceError:
            if not self._drain.asked:  # then it may have been told to end
                raise
        finally:
            await cancel(self._planning, reporting)

    async def _report_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            logger.info("%s", self.report())

    def _plan(self) -> None:
        self._planning = asyncio.create_task(self._planner.run(), name="planner")

    async def _feed_side_by_side(self) -> None:
        feeding = [asyncio.create_task(self._feed_chunks()) for _ in range(CHUNKS_AT_ONCE)]
        try:
            await asyncio.gather(*feeding)
        finally:
            await cancel(*feeding)

    async def _feed_chunks(self) -> None:
        while not self._drain.asked and not await self._is_over():
            async with self._claiming:
                lease = await self._patience(self._queue.claim_chunk)
                if lease is None:
                    continue
                if needs_caution(lease):
                    await self._feed_by_itself(lease)
                    continue
                await self._places.acquire()
            try:
                await self._feed(lease)
            finally:
                self._places.release()

    async def _feed_by_itself(self, lease: ChunkLease) -> None:
        """Feed a chunk while nothing else is looked at; and the caller claims nothing else."""
        logger.warning(
            "The chunk %s was given out %d times; feeding it sample by sample, in case it holds "
            "what feeders die of",
            lease.chunk.id,
            lease.attempt,
            extra=about(chunk=lease.chunk.id),
        )
        self._leases[lease.entry] = lease
        async with AsyncExitStack() as places:
            for _ in range(CHUNKS_AT_ONCE):
                await places.enter_async_context(self._places)
            await self._feed(lease)

    async def _is_over(self) -> bool:
        if not self._planning.done():
            return False
        self._planning.result()  # a source that cannot be read ends the feeder
        counts = await self._patience(self._queue.counts)
        planned = counts.plan_done and await self._planner.is_fulfilled()
        if not planned and self._planning.done():
            # Another feeder begins anew, or the queue was set back, or emptied.
            self._plan()
        return planned and counts.in_chunks == 0

    async def _feed(self, lease: ChunkLease) -> None:
        """Offer the rest of a chunk; begin again at its cursor when that is elsewhere."""
        offer = self._offer_alone if needs_caution(lease) else self._offer_from
        current: ChunkLease | None = lease
        while current is not None and current.cursor < current.chunk.count:
            self._leases[current.entry] = current
            try:
                current = await offer(current)
            except ShardChanged as exc:
                await self._withdraw(lease, exc)
                break
            if self._drain.asked and current is not None:
                await self._patience(lambda c=current: self._queue.release_chunk(c), last=True)  # type: ignore[misc]
                break
        self._leases.pop(lease.entry, None)

    async def _withdraw(self, lease: ChunkLease, why: ShardChanged) -> None:
        """Let what is left of a chunk be planned anew; give up on a shard that never rests."""
        chunk = lease.chunk
        left = self._left_behind[chunk.shard]
        # A shard that cannot be read may well say of itself that it is what it was.
        left.add((chunk.fingerprint, generation_of(chunk)))
        if len(left) > MOST_CHANGES:
            raise ShardChanged(
                f"{why} That was so {len(left)} times. Wait until nobody writes to it. If other "
                "feeders read copies of it, copy with times (cp -p, rsync -t): they tell versions."
            ) from why
        logger.warning(
            "%s Planning anew what is left of the chunk %s",
            why,
            chunk.id,
            extra=about(chunk=chunk.id),
        )
        status = "moved"
        while status == "moved":
            before = await self._patience(self._queue.position)
            after = Position.decode(before).again(secrets.token_hex(4)).encode()
            status = await self._patience(
                lambda b=before, a=after: self._queue.withdraw(lease, b, a)  # type: ignore[misc]
            )

    async def _offer_from(self, lease: ChunkLease) -> ChunkLease | None:
        """Offer from the cursor on. Answers where to go on; None when the chunk is not ours."""
        wanted = lease.chunk.listed(lease.cursor)
        batches = offers(self._source, lease.chunk, wanted, self._images)
        # One batch is read while the one before it is on its way.
        ahead = asyncio.create_task(asyncio.to_thread(next, batches, None))
        try:
            while (batch := await ahead) is not None and not self._drain.asked:
                ahead = asyncio.create_task(asyncio.to_thread(next, batches, None))
                moved = self._after(lease, batch, await self._offer(lease, batch))
                if moved is None or moved.cursor != lease.cursor + len(batch):
                    return moved
                lease = moved
        except SourceError:
            if not self._drain.asked:  # then it may have been told to end
                raise
        finally:
            await asyncio.gather(ahead, return_exceptions=True)
        return lease

    async def _offer_alone(self, lease: ChunkLease) -> ChunkLease | None:
        """Offer the sample at the cursor; answers as `_offer_from`."""
        try:
            begun, batch = await self._lone_looks.look(lease)
        except SourceError:
            if not self._drain.asked:
                raise
            return lease
        if begun.status == "ok":
            return self._after(lease, batch, await self._offer(lease, batch))
        return _at(lease, begun)

    def _after(
        self, lease: ChunkLease, batch: Sequence[Offer], offered: Offered
    ) -> ChunkLease | None:
        """Count what entered; answers where the chunk stands then."""
        if _entered(lease, batch, offered):
            self._count(batch)
        return _at(lease, offered)

    async def _offer(self, lease: ChunkLease, batch: Sequence[Offer]) -> Offered:
        """Offer a batch as soon as there is room for it."""
        size = sum(map(weight, batch))
        while True:
            while self._paused() and not await self._drain.wait(PAUSE_SECONDS):
                pass
            await self._wait_for_room(size, len(batch))
            if self._drain.asked:
                return Offered("full", lease.cursor, self._room)
            begun = traces.now()
            offered = await self._patience(lambda: self._queue.offer(lease, batch, self._budget))
            self._room = offered.room
            if offered.status != "full":
                if _entered(lease, batch, offered):
                    _trace(batch, begun)
                return offered

    async def _wait_for_room(self, size: int, samples: int) -> None:
        """Ask for numbers only, so that no image is sent to be refused."""
        if self._room.admits(self._budget, bytes_=size, samples=samples):
            return
        with self._full:
            while not self._room.admits(self._budget, bytes_=size, samples=samples):
                if await self._drain.wait(ROOM_SECONDS):
                    return
                self._room = await self._patience(self._queue.room)

    def _count(self, batch: Sequence[Offer]) -> None:
        self.tally.count(batch)
        for offer in batch:
            if (why := offer.failure) is not None:
                what = f"{offer.sample.id}: {why.reason}, {why.detail}"
                self._last_error = {"last_error": what, "last_error_at": f"{why.at:.0f}"}
                logger.warning(
                    "Gave up %s: %s, %s",
                    *(offer.sample.id, why.reason, why.detail),
                    extra=about(offer.sample),
                )

    def _held(self) -> tuple[ChunkLease, ...]:
        return tuple(self._leases.values())

    def _drop(self, lost: list[ChunkLease]) -> None:
        for lease in lost:
            held = self._leases.get(lease.entry)
            if held is not None and held.chunk is lease.chunk:
                del self._leases[lease.entry]
                chunk = lease.chunk.id
                logger.warning("Lost the lease on the chunk %s", chunk, extra=about(chunk=chunk))
                self._queue.drop([lease])


def _entered(lease: ChunkLease, batch: Sequence[Offer], offered: Offered) -> bool:
    return offered.status != "lost" and offered.cursor == lease.cursor + len(batch)


def _trace(batch: Sequence[Offer], begun: int) -> None:
    for offer in batch:
        why = {"failure": offer.failure.reason} if offer.failure else {}
        traces.first("offer", offer.sample, begun, **why)


def _at(lease: ChunkLease, answer: Offered | Begun) -> ChunkLease | None:
    """Find where a chunk stands by an answer of the queue; None where it is not ours."""
    if answer.status == "lost":
        chunk = lease.chunk.id
        logger.info("The chunk %s is another feeder's or is done", chunk, extra=about(chunk=chunk))
        return None
    return msgspec.structs.replace(lease, cursor=answer.cursor)
