"""Queue: DeadLetters on Redis. A letter is taken off once, to be tried again or dropped."""

from collections.abc import Iterator, Sequence

from caption_flow.codec import records
from caption_flow.model import Chunk, DeadLetter, EntryId
from caption_flow.queue.consumer import readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.keys import id_to, shard_to
from caption_flow.queue.pages import PAGE, pages
from caption_flow.queue.ports import LetterFilter, Letters


class RedisDeadLetters(RedisJob):
    """DeadLetters, see ports."""

    async def letters(self, wanted: LetterFilter) -> Letters:
        """Read those that are meant and there now, oldest first."""
        batch: list[DeadLetter] = []
        async for page in pages(self.client, self.lane.dead):
            found = readable(page, lambda d: records.dead_letter_from(d.entry, d.fields))
            batch += filter(wanted.admits, found)
            if len(batch) >= PAGE:
                yield batch[:PAGE]
                batch = batch[PAGE:]
        if batch:
            yield batch

    async def retry(self, chunk: Chunk, letters: Sequence[DeadLetter]) -> set[EntryId]:
        """Put a chunk of their samples in the place of letters, all or none of them."""
        lane = self.lane
        gone = await self.scripts.run(
            "retry",
            [lane.dead, lane.chunks, lane.retried, lane.counts, lane.shards],
            [records.encode(chunk), chunk.count, shard_to(chunk.shard), *_named(letters)],
        )
        return {entry.decode() for entry in gone}

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Take letters off, and their samples with them; answers how many were still there."""
        lane = self.lane
        places = [lane.dead, lane.dropped, lane.counts, lane.shards]
        return int(await self.scripts.run("drop", places, list(_placed(letters))))


def _named(letters: Sequence[DeadLetter]) -> Iterator[EntryId | bytes]:
    for letter in letters:
        yield letter.entry
        yield id_to(letter.sample.id)


def _placed(letters: Sequence[DeadLetter]) -> Iterator[EntryId | bytes]:
    for letter in letters:
        yield from _named([letter])
        yield shard_to(letter.sample.shard)
