"""What the streams of a job really hold, read at once, to be compared with its books."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from caption_flow.codec import records
from caption_flow.codec.weight import footprint
from caption_flow.model import Chunk, Counts, EntryId
from caption_flow.queue.job import RedisJob
from caption_flow.queue.keys import shard_to

Entries = dict[EntryId, dict[bytes, bytes]]


class Ledger(Struct, frozen=True):
    """All entries of a job at one moment."""

    counts: Counts
    cursors: dict[bytes, bytes]
    chunks: list[Chunk]
    stages: list[Entries]
    images: Entries
    captions: Entries
    dead: Entries
    shards: dict[str, int]  # what is kept of each, by the field of the hash; no zeros

    def check_shards(self, captioned: Mapping[str, int]) -> None:
        """Compare what is kept of each shard with streams, and with its rows in parts."""
        planned, dead = Counter(captioned), Counter[str]()
        for chunk in self.chunks:
            planned[chunk.shard] += len(self._left_in(chunk))
        for entries in (*self.stages, self.captions, self.dead):
            planned.update(_shards_of(entries))
        dead.update(_shards_of(self.dead))
        told = {"planned": planned, "captioned": Counter(captioned), "dead": dead}
        assert self.shards == {
            f"{shard_to(shard)}:{counter}": count
            for counter, counts in told.items()
            for shard, count in counts.items()
            if count
        }

    def check(self) -> None:
        """Compare the books with what the streams hold."""
        books = self.counts
        assert books.in_chunks == sum(len(self._left_in(chunk)) for chunk in self.chunks)
        assert books.in_flight == len(self.images) + len(self.captions)
        assert books.completed == len(self.captions) + books.captioned
        assert books.dead == len(self.dead)
        # Each image is that of one sample.
        assert sorted(self._images_of_samples()) == sorted(self.images)
        assert books.bytes_in_flight == self._bytes()

    def whereabouts(self) -> Counter[str]:
        """Count in how many places each sample is: chunks, stages, captions, dead letters."""
        found = Counter(name for chunk in self.chunks for name in self._left_in(chunk))
        for entries in (*self.stages, self.captions, self.dead):
            found.update(records.caption_from(*entry).sample.id for entry in entries.items())
        return found

    def _left_in(self, chunk: Chunk) -> tuple[str, ...]:
        return chunk.names[int(self.cursors.get(chunk.id.encode(), 0)) :]

    def _bytes(self) -> int:
        samples = [fields for entries in self.stages for fields in entries.values()]
        return sum(
            footprint(len(sample[b"sample"]), len(self.images[image][b"image"]))
            for sample, image in zip(samples, self._images_of_samples(), strict=True)
        )

    def _images_of_samples(self) -> list[EntryId]:
        return [fields[b"image"].decode() for entries in self.stages for fields in entries.values()]


async def read_ledger(job: RedisJob, stages: tuple[str, ...]) -> Ledger:
    """Read the books and the streams in one transaction."""
    lane = job.lane
    pipe = job.client.pipeline(transaction=True)
    pipe.hgetall(lane.counts)
    pipe.hgetall(lane.cursors)
    pipe.hgetall(lane.shards)
    for stream in (lane.chunks, lane.images, lane.captions, lane.dead):
        pipe.xrange(stream)
    for stage in stages:
        pipe.xrange(lane.samples(stage))
    counts, cursors, shards, *streams = await pipe.execute()
    chunks, images, captions, dead, *samples = map(_entries, streams)
    return Ledger(
        Counts(**_numbers(counts)),
        cursors,
        [records.chunk_from(*entry) for entry in chunks.items()],
        samples,
        images,
        captions,
        dead,
        {field.decode(): int(count) for field, count in shards.items() if int(count)},
    )


def _shards_of(entries: Entries) -> list[str]:
    return [records.sample_from(*entry).shard for entry in entries.items()]


def _entries(answer: list[tuple[bytes, dict[bytes, bytes]]]) -> Entries:
    return {entry.decode(): fields for entry, fields in answer}


def _numbers(counts: dict[bytes, bytes]) -> dict[str, Any]:
    numbers: dict[str, Any] = {name.decode(): int(value) for name, value in counts.items()}
    return numbers | {"plan_done": bool(numbers.get("plan_done"))}
