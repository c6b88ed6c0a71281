"""Queue: what every role does with a job of several lanes: its books, and being a member."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from caption_flow.model import Counts
from caption_flow.queue.border import answers
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.plan import Heads, heads_of
from caption_flow.queue.ports import Room

_COUNTS = Counts.__struct_fields__


def lanes_of(job: RedisJob, count: int) -> tuple[RedisJob, ...]:
    """Name the lanes of a job."""
    return tuple(RedisJob(job.connections, job.job, lane=lane) for lane in range(count))


def summed(counts: Sequence[Counts], *, plan_done: bool) -> Counts:
    """Add up books."""
    numbers: dict[str, Any] = {
        name: sum(getattr(one, name) for one in counts) for name in _COUNTS if name != "plan_done"
    }
    return Counts(**numbers, plan_done=plan_done)


class LanedJob(RedisJob):
    """A job of several lanes. Settings, members and orders it has but once."""

    def __init__(self, job: RedisJob, count: int) -> None:
        super().__init__(job.connections, job.job)
        self.lanes = lanes_of(job, count)

    async def counts(self) -> Counts:
        """Read the books of all lanes, added up."""
        heads, counts = await self.books_of_lanes()
        return summed(counts, plan_done=heads.done)

    async def books_of_lanes(self) -> tuple[Heads, list[Counts]]:
        """Read where the plan stands, and the books of each lane.

        In this order in each lane, so that a lane that knows its last step has counted it.
        """
        pipe = self.client.pipeline(transaction=False)
        for one in self.lanes:
            pipe.hget(one.lane.cursors, "plan")
            pipe.hmget(one.lane.counts, _COUNTS)
        told = await answers(pipe)
        return heads_of(told[::2]), [_counts(values) for values in told[1::2]]

    async def heads(self) -> Heads:
        """Read where the plan stands."""
        pipe = self.client.pipeline(transaction=False)
        for one in self.lanes:
            pipe.hget(one.lane.cursors, "plan")
        return heads_of(await answers(pipe))

    async def room(self) -> Room:
        """What is in flight now in the lane that has most; each has its share of the budget."""
        rooms = [await one.room() for one in self.lanes]
        return Room(
            bytes=max(room.bytes for room in rooms), samples=max(room.samples for room in rooms)
        )

    async def parts(self) -> set[str]:
        """Name the committed parts."""
        return {name for one in self.lanes for name in await one.parts()}

    async def epoch(self) -> str:
        """Name what the lanes remember; another name: one of them may have forgotten something."""
        return "\n".join([await one.epoch() for one in self.lanes])

    async def sample_streams(self, stages: Sequence[str]) -> list[str]:
        """Name the streams of samples of all lanes."""
        return [stream for one in self.lanes for stream in await one.sample_streams(stages)]

    async def _note(self) -> None:
        for one in self.lanes[1:]:
            await one._note()
        await super()._note()


def _counts(values: Sequence[bytes | None]) -> Counts:
    pairs = zip(_COUNTS, values, strict=True)
    numbers: dict[str, Any] = {name: int(value) for name, value in pairs if value}
    return replace(Counts(**numbers), plan_done=bool(numbers.get("plan_done")))
