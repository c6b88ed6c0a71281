"""Remote: FeedQueue through a proxy. What a feeder plans and offers goes there, images and all.

It has no folder of parts: what is captioned, given up or on its way is asked of the proxy.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.config.broadcast import Broadcast, without_secrets
from caption_flow.dataset.known import Known
from caption_flow.errors import ConfigError
from caption_flow.keeper import Renew
from caption_flow.logs import about
from caption_flow.model import Chunk, ChunkLease, EntryId, Failure, Offer
from caption_flow.queue.ports import Begun, Budget, Offered, Planned, Room, Settings, Withdrawn
from caption_flow.remote.job import RemoteJob
from caption_flow.remote.link import Link
from caption_flow.wire import feeding
from caption_flow.wire.fields import MOST_RECORD
from caption_flow.wire.frames import Release, Renewal

logger = logging.getLogger(__name__)

NONE_SECONDS = 0.5  # until a claim of nothing is answered
FULL_SECONDS = 0.2  # until an offer that found no room is answered: it was sent in vain
SENT_SECONDS = 600.0  # for an offer on a slow line
KNOWN_SECONDS = 3600.0  # for all that is known of a large job
TOO_LARGE = "too_large"  # reason of a sample of which more is said than a proxy takes
_LONGEST = 1000  # characters of what is said of a sample that is too large


class RemoteFeedQueue(RemoteJob):
    """FeedQueue, see ports; and Whereabouts, see feed."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._link = link
        self._held: dict[EntryId, int] = {}  # chunks, each with its number of samples
        self._brought: bytes | None = None  # the document that we were given
        self._bare: bytes | None = None  # as the proxy tells it

    # The job

    def serve(self, stages: Sequence[str]) -> None:
        """Nothing to say: the proxy knows the stages."""

    async def publish(self, document: bytes, dataset: str, *, least: int) -> Settings:  # noqa: ARG002 - the proxy knows it
        """Make the settings those of the job if it has none; answers those that it has."""
        self._brought = document
        self._bare = without_secrets(Broadcast.decode(document)).encode()
        told, payload = await self._link.ask_with(feeding.Publish(0, dataset), [document])
        return self._whole(Settings(told.version, bytes(payload), told.by))

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        told = await super().settings()
        return None if told is None else self._whole(told)

    async def settings_mark(self) -> str | None:
        """Tell the settings from others, see Settings; None while nobody has published any."""
        told = await self.settings()
        return None if told is None else told.mark

    async def remind(self, seen: Settings, dataset: str) -> None:
        """Publish settings that were seen if they are forgotten; what is newer stays."""
        await self._link.ask_with(feeding.Remind(0, seen.version, dataset), [seen.document])

    async def room(self) -> Room:
        """What is in flight now."""
        counts = await self.counts()
        return Room(bytes=counts.bytes_in_flight, samples=counts.in_flight)

    def _whole(self, told: Settings) -> Settings:
        """Put back what a proxy leaves out, where the settings are those that we brought."""
        if self._brought is None or told.document != self._bare:
            return told
        return replace(told, document=self._brought)

    # The plan

    async def position(self) -> str:
        """Where the plan stands; empty before the first chunk."""
        told, _ = await self._link.ask_with(feeding.Position(0))
        return str(told.text)

    async def plan(
        self, before: str, after: str, chunk: Chunk | None, *, backlog: int, done: bool
    ) -> Planned:
        """Add a chunk and move the plan, if it stands at `before` and fewer than `backlog` wait."""
        record = records.encode(chunk) if chunk else b""
        if chunk and (chunk.count > feeding.MOST_NAMES or len(record) > feeding.SPARE):
            raise ConfigError(
                f"chunk_size is too large for a proxy: a chunk of {chunk.shard} takes "
                f"{len(record):,} bytes. Feed with a smaller one."
            )
        frame = feeding.Plan(0, before, after, min(backlog, feeding.MOST_WAITING), done)
        told, _ = await self._link.ask_with(frame, [record] if record else ())
        return Planned(told.status, told.position)

    async def epoch(self) -> str:
        """Name what the queue remembers; another name: it may have forgotten something."""
        told, _ = await self._link.ask_with(feeding.Epoch(0))
        return str(told.text)

    async def known(self, *, later: bool, midway: bool = False) -> Known:  # noqa: ARG002
        """Find what is captioned, given up or on its way already."""
        wanted = feeding.KnownWanted(0, later)
        _, digests = await self._link.ask_with(wanted, seconds=KNOWN_SECONDS)
        return await asyncio.to_thread(Known.joined, digests)

    async def has_parts(self) -> bool:
        """Nothing to say: a proxy is not asked for the shards of its parts."""
        return False

    async def beginnings(self, *, later: bool) -> None:
        """Nothing to say: a proxy tells all that is known, and not a part of it."""

    async def newest_version(self) -> int:
        """Nothing to say: the proxy looks for itself before it publishes."""
        return 0

    # Chunks

    async def claim_chunk(self) -> ChunkLease | None:
        """Lease a chunk; None when none came for a moment."""
        told, payload = await self._link.ask_with(feeding.Claim(0, tuple(self._held)))
        if not told.entry:
            await asyncio.sleep(NONE_SECONDS)
            return None
        chunk = records.chunk_from(told.entry, {b"chunk": bytes(payload)})
        self._held[told.entry] = chunk.count
        return ChunkLease(told.entry, chunk, told.cursor, told.attempt)

    async def offer(self, lease: ChunkLease, offers: Sequence[Offer], budget: Budget) -> Offered:
        """Add the chunk's next samples and move its cursor past them."""
        parts = [_parts(offer) for offer in offers]
        frame = feeding.OfferMade(
            *(0, lease.entry, lease.cursor, budget.bytes, budget.samples),
            tuple((len(record), len(image), len(why)) for record, image, why in parts),
        )
        payload = [piece for part in parts for piece in part if piece]
        told, _ = await self._link.ask_with(frame, payload, seconds=SENT_SECONDS)
        if told.status == "lost" or told.cursor >= lease.chunk.count:
            self._held.pop(lease.entry, None)
        if told.status == "full":
            await asyncio.sleep(FULL_SECONDS)
        room = Room(bytes=told.bytes, samples=told.samples)
        return Offered(told.status, told.cursor, room)

    async def begin_look(self, lease: ChunkLease) -> Begun:
        """Note that the sample at the cursor is about to be looked at, alone."""
        frame = feeding.Look(0, lease.entry, lease.cursor, begins=True)
        told, _ = await self._link.ask_with(frame)
        if told.status == "lost":
            self._held.pop(lease.entry, None)
        return Begun(told.status, told.cursor, told.looks)

    async def end_look(self, lease: ChunkLease) -> None:
        """Note that the look is over and its feeder lives."""
        await self._link.ask_with(feeding.Look(0, lease.entry, lease.cursor, begins=False))

    async def withdraw(self, lease: ChunkLease, before: str, after: str) -> Withdrawn:
        """Take what is left of a chunk off the plan; and put that, if at `before`, at `after`."""
        told, _ = await self._link.ask_with(feeding.Withdraw(0, lease.entry, before, after))
        if told.status != "moved":
            self._held.pop(lease.entry, None)
        status: Withdrawn = told.status
        return status

    def renewals(self) -> AbstractAsyncContextManager[Renew[ChunkLease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return self._renewing()

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[Renew[ChunkLease]]:
        yield self._renew

    async def _renew(self, held: Sequence[ChunkLease]) -> list[ChunkLease]:
        if not held:
            return []
        frame = Renewal(0, 0, tuple(lease.entry for lease in held))
        told, _ = await self._link.ask_with(frame)
        return [lease for lease in held if lease.entry in told.entries]

    def drop(self, leases: Sequence[ChunkLease]) -> None:
        """Note that leases were lost."""
        for lease in leases:
            self._held.pop(lease.entry, None)

    async def release_chunk(self, lease: ChunkLease) -> None:
        """Hand the rest of the chunk back, for anybody at once."""
        await self._link.ask_with(Release(0, 0, (lease.entry,)))
        self._held.pop(lease.entry, None)

    async def close(self) -> None:
        """Nothing to say: the end of the connection says it."""


def _parts(offer: Offer) -> tuple[bytes, bytes, bytes]:
    """Write what is said of a sample, its image, and why it was given up."""
    record = records.encode(offer.sample)
    why = records.encode(offer.failure) if offer.failure else b""
    if len(record) <= MOST_RECORD:
        return record, offer.image, why
    bare = replace(offer.sample, columns={}, source=offer.sample.source[:_LONGEST])
    told = f"its columns take {len(record):,} bytes, and a proxy takes {MOST_RECORD:,}"
    logger.warning("Gave up %s: %s", offer.sample.id, told, extra=about(offer.sample))
    return records.encode(bare), b"", records.encode(Failure(TOO_LARGE, told, time.time()))
