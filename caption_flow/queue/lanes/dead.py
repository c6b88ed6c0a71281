"""Queue: DeadLetters over several lanes. A sample is tried again in its lane."""

from collections.abc import Sequence

from caption_flow.model import Chunk, DeadLetter, EntryId
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.entries import bare, by_lane, lane_of, marked
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.ports import LetterFilter, Letters


class LanedDeadLetters(LanedJob):
    """DeadLetters, see ports."""

    def __init__(self, job: RedisJob, count: int) -> None:
        super().__init__(job, count)
        self._queues = tuple(
            RedisDeadLetters(job.connections, job.job, lane=lane) for lane in range(count)
        )

    async def letters(self, wanted: LetterFilter) -> Letters:
        """Read those that are meant and there now, oldest first in each lane.

        Those of one lane at a time, so that who tries them again makes chunks of one lane.
        """
        for lane, queue in enumerate(self._queues):
            async for batch in queue.letters(wanted):
                yield [marked(lane, letter) for letter in batch]

    async def retry(self, chunk: Chunk, letters: Sequence[DeadLetter]) -> set[EntryId]:
        """Put a chunk of their samples in the place of letters of one lane, all or none."""
        lane = lane_of(letters[0].entry)
        gone = await self._queues[lane].retry(chunk, list(map(bare, letters)))
        return {f"{lane}/{entry}" for entry in gone}

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Take letters off, and their samples with them; answers how many were still there."""
        groups = by_lane(letters, lambda letter: letter.entry)
        return sum(
            [await self._queues[lane].drop(list(map(bare, some))) for lane, some in groups.items()]
        )
