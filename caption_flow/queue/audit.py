"""Queue: AuditQueue on Redis. It reads every entry but the images, and compares with the books."""

import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from caption_flow.codec import records
from caption_flow.model import Chunk, Counts, EntryId
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, answers, translated
from caption_flow.queue.consumer import Delivery, readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.pages import PAGE, pages
from caption_flow.queue.ports.audit import Books, Mark, Sighting, Waiting
from caption_flow.queue.ports.recall import Rewrite
from caption_flow.queue.recount import Recount

_IMAGES = 4  # read at a time, when those are looked for that no sample needs


class _Record(Struct, frozen=True):
    """What the queue keeps of a part."""

    rows: int = 0


class RedisAuditQueue(RedisJob):
    """AuditQueue, see ports. `stages` are those of the job, in order."""

    def __init__(self, job: RedisJob, *, stages: Sequence[str], lease_seconds: float) -> None:
        super().__init__(job.connections, job.job, lane=job.lane.lane)
        self._stages = tuple(stages)
        self._lease_ms = int(lease_seconds * 1000)

    async def mark(self) -> Mark:
        """Say how far the job is planned and mended."""
        with translated():
            plan, reissues = await self.client.hmget(self.lane.cursors, ["plan", "reissues"])
        return Mark(plan.decode() if plan else "", int(reissues or 0))

    async def chunks(self) -> list[Waiting]:
        """Read the chunks that are not offered to their end."""
        lane = self.lane
        expired = await self._expired(lane.chunks, keys.FEEDERS)
        waiting: list[Waiting] = []
        async for page in pages(self.client, lane.chunks):
            pairs = readable(page, lambda d: (d.entry, records.chunk_from(d.entry, d.fields)))
            for entry, chunk in pairs:
                with translated():
                    cursor = await self.client.hget(lane.cursors, chunk.id)
                waiting.append(Waiting(_after(chunk, int(cursor or 0)), entry in expired))
        return [*waiting, *await self._to_be_fed()]

    async def _to_be_fed(self) -> list[Waiting]:
        """Read the chunks of samples whose rows are being taken out of parts."""
        with translated():
            told = await self.client.hvals(self.lane.rewrites)
        rewrites = [msgspec.json.decode(one, type=Rewrite) for one in told]
        chunks = [chunk.encode() for rewrite in rewrites for chunk in rewrite.chunks]
        read = (records.chunk_from("", {b"chunk": chunk}) for chunk in chunks)
        return [Waiting(chunk, abandoned=False) for chunk in read]

    async def in_flight(self) -> AsyncIterator[list[Sighting]]:
        """Read the samples of all stages in their order, and then the captions."""
        for stream in await self.sample_streams(self._stages):
            expired = await self._expired(stream, keys.WORKERS)
            async for batch in self._samples(stream, expired):
                yield batch
        expired = await self._expired(self.lane.captions, keys.SINKS)
        async for batch in self._samples(self.lane.captions, expired):
            yield batch

    def dead(self) -> AsyncIterator[list[Sighting]]:
        """Read the dead letters."""
        return self._samples(self.lane.dead, frozenset())

    async def dropped(self) -> list[str]:
        """Name the samples that were dead letters and are wanted no more."""
        return await self._ids(self.lane.dropped)

    async def retried(self) -> list[str]:
        """Name the samples that were ever dead letters and fed again."""
        return await self._ids(self.lane.retried)

    async def taken_back(self) -> int:
        """Count the dead letters that were ever retried or dropped: only they go upstream."""
        with translated():
            if not await self.client.exists(self.lane.dead):
                return 0
            told = await self.client.xinfo_stream(self.lane.dead)
        return int(told["entries-added"]) - int(told["length"])

    async def recorded(self) -> dict[str, int]:
        """Name the committed parts, each with its rows."""
        with translated():
            told = await self.client.hgetall(self.lane.parts)
        decode = msgspec.json.Decoder(_Record).decode
        return {name.decode(): decode(record).rows for name, record in told.items()}

    async def books(self) -> Books:
        """Read the books and what they should say."""
        return await self._balance(["0"])

    async def mend_books(self) -> Books:
        """Let the books say what they should, and drop spare images; answers what they said."""
        books = await self.books()
        spare = await self._spare_images() if books.spare_images > 0 else []
        return await self._balance(["1", *spare])

    async def mend_shards(self) -> bool:
        """Let what is kept of each shard be what streams and parts say; answers if it was not."""
        streams = await self.sample_streams(self._stages)
        return await Recount(self.client, self.scripts, self.lane, streams).run()

    async def disown(self) -> int:
        """End the leases on entries that somebody deleted: whoever holds one can do no more."""
        ended = 0
        for stream, group in await self._groups():
            async for held in self._pending(stream, group):
                gone = await self._deleted(stream, held)
                if gone:
                    with translated():
                        ended += await self.client.xack(stream, group, *gone)
        return ended

    async def reissue(
        self, chunk: Chunk, seen: Mark, after: str, *, most: int
    ) -> Literal["ok", "moved", "full"]:
        """Add a chunk and put the plan at `after`, if the mark is as seen and there is room."""
        lane = self.lane
        status: bytes = await self.scripts.run(
            "reissue",
            [lane.chunks, lane.cursors, lane.counts, lane.shards, lane.shard_names],
            [
                *(seen.position, seen.reissues, after, most),
                *(chunk.count, records.encode(chunk), keys.shard_to(chunk.shard)),
            ],
        )
        return status.decode()  # type: ignore[return-value]

    async def forget_part(self, part: str, lost: int = 0) -> None:
        """Take a part that is gone off the committed ones, and its lost rows off the books."""
        lane = self.lane
        at = [lane.parts, lane.counts, lane.contributors, lane.shards, lane.epoch]
        await self.scripts.run("forget", at, [part, lost, secrets.token_hex(8)])

    async def _balance(self, arguments: list[str]) -> Books:
        lane = self.lane
        fixed = [lane.counts, lane.cursors, lane.chunks, lane.captions, lane.dead, lane.images]
        answer = await self.scripts.run(
            "balance", [*fixed, *await self.sample_streams(self._stages)], arguments
        )
        counts, (planned, offered, completed, dead, in_flight), spare = answer
        counted = _counts(counts)
        found = msgspec.structs.replace(
            counted,
            planned=planned,
            offered=offered,
            completed=completed,
            dead=dead,
            bytes_in_flight=in_flight,
        )
        return Books(counted, found, spare)

    async def _groups(self) -> list[tuple[str, str]]:
        samples = [(stream, keys.WORKERS) for stream in await self.sample_streams(self._stages)]
        chunks, captions = self.lane.chunks, self.lane.captions
        return [(chunks, keys.FEEDERS), *samples, (captions, keys.SINKS)]

    async def _ids(self, key: str) -> list[str]:
        with translated():
            members = self.client.sscan_iter(key, count=PAGE)
            return [keys.id_from(member) async for member in members]

    async def _samples(
        self, stream: str, expired: frozenset[EntryId]
    ) -> AsyncIterator[list[Sighting]]:
        async for page in pages(self.client, stream):
            yield readable(page, lambda d: _sighting(d, abandoned=d.entry in expired))

    async def _expired(self, stream: str, group: str) -> frozenset[EntryId]:
        """Find the entries under a lease that ran out."""
        found = [held async for held in self._pending(stream, group, idle=self._lease_ms)]
        returned = keys.RETURNED.encode()
        rows = (row for held in found for row in held if row["consumer"] != returned)
        return frozenset(row["message_id"].decode() for row in rows)

    async def _pending(
        self, stream: str, group: str, idle: int | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Give the entries under a lease, a page at a time; none where there is no group."""
        after = "-"
        while True:
            try:
                with translated():
                    rows = await self.client.xpending_range(
                        stream, group, after, "+", PAGE, idle=idle
                    )
            except GroupGone:  # or not made yet
                return
            yield rows
            if len(rows) < PAGE:
                return
            after = "(" + rows[-1]["message_id"].decode()

    async def _deleted(self, stream: str, held: Iterable[dict[str, Any]]) -> list[EntryId]:
        ids = [row["message_id"].decode() for row in held]
        pipe = self.client.pipeline(transaction=False)
        for id_ in ids:
            pipe.xrange(stream, id_, id_)
        entries = await answers(pipe) if ids else []
        return [id_ for id_, found in zip(ids, entries, strict=True) if not found]

    async def _spare_images(self) -> list[EntryId]:
        """Find images that no sample needs, and some whose sample has just left."""
        images: set[EntryId] = set()
        after = "-"
        while True:
            with translated():
                page = await self.client.xrange(self.lane.images, min=after, count=_IMAGES)
            images |= {entry.decode() for entry, _ in page}
            if len(page) < _IMAGES:
                break
            after = "(" + page[-1][0].decode()
        for stream in await self.sample_streams(self._stages):
            async for entries in pages(self.client, stream):
                images.difference_update(_images_of(entries))
        return sorted(images)


def _after(chunk: Chunk, cursor: int) -> Chunk:
    left = {"names": chunk.names[cursor:], "places": chunk.places[cursor:]}
    return msgspec.structs.replace(chunk, **left)


def _sighting(delivery: Delivery, *, abandoned: bool) -> Sighting:
    # What the stages made of it is long, and nobody asks.
    bare = {name: value for name, value in delivery.fields.items() if name == b"sample"}
    sample = records.caption_from(delivery.entry, bare).sample
    return Sighting(sample.id, sample.shard, sample.chunk, abandoned)


def _images_of(entries: Iterable[Delivery]) -> Iterator[EntryId]:
    return (entry.fields.get(b"image", entry.entry.encode()).decode() for entry in entries)


def _counts(flat: Sequence[bytes]) -> Counts:
    known = Counts.__struct_fields__
    pairs = zip(flat[::2], flat[1::2], strict=True)
    numbers: dict[str, Any] = {k.decode(): int(v) for k, v in pairs if k.decode() in known}
    return Counts(**numbers | {"plan_done": bool(numbers.get("plan_done"))})
