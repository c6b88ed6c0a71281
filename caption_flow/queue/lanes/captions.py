"""Queue: CaptionQueue of one lane of several. A part holds captions of one lane.

What a sink must know of all parts it asks all lanes, since a sample that is planned again after a
lane forgot it may come through another one.
"""

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from msgspec.structs import replace

from caption_flow.errors import QueueUnfit
from caption_flow.model import Counts, EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.job import LanedJob, lanes_of, summed


class LaneCaptionQueue(RedisCaptionQueue):
    """CaptionQueue, see ports."""

    def __init__(
        self, job: RedisJob, count: int, *, lane: int, name: str, lease_seconds: float
    ) -> None:
        lanes = lanes_of(job, count)
        super().__init__(lanes[lane], name=name, lease_seconds=lease_seconds)
        self._whole = LanedJob(job, count)
        self._all = tuple(
            RedisCaptionQueue(one, name=name, lease_seconds=lease_seconds) for one in lanes
        )
        self._own = lane

    async def counts(self) -> Counts:
        """Read the books of the lane, which is not done before all others are."""
        heads, counts = await self._whole.books_of_lanes()
        own = replace(counts[self._own], plan_done=heads.done)
        whole = summed(counts, plan_done=heads.done)
        return own if whole.done or not own.done else replace(own, plan_done=False)

    async def epoch(self) -> str:
        """Name what all lanes remember; another name: one of them may have forgotten something."""
        return await self._whole.epoch()

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        """Record the part and take its entries off the lane; answers those that were lost."""
        own = epoch.splitlines()[self._own] if epoch else ""
        return await super().commit(part, record, entries, epoch=own)

    async def records(self) -> dict[str, bytes]:
        """Read what is recorded of each committed part."""
        told: dict[str, bytes] = {}
        for one in self._all:
            told |= await one.records()
        return told

    async def records_of(self, parts: Sequence[str]) -> dict[str, bytes]:
        """Read what is recorded of these, as far as they are."""
        told: dict[str, bytes] = {}
        for one in self._all:
            told |= await one.records_of(parts)
        return told

    async def forbid(self, part: str) -> bool:
        """See to it that a part is recorded in no lane; False when it is already in one."""
        # Who committed it may have served any lane.
        return all([await one.forbid(part) for one in self._all])

    async def record_part(self, part: str, record: bytes, merged: Iterable[str] = ()) -> bool:
        """Record a published part that its lane has forgotten; False when it is recorded.

        In a lane that goes by its name, so that whoever else finds it does so there too.
        """
        home = self._all[crc32(part.encode()) % len(self._all)]
        if await self.records_of([part]):
            return False
        return await home.record_part(part, record, merged)

    async def rewrites(self) -> dict[str, str]:
        """Name the parts that are losing rows: none, since nobody takes any out of a laned job."""
        return {}

    async def merge_parts(self, merged: str, record: bytes, seen: Mapping[str, bytes]) -> bool:
        """Refuse: parts of several lanes are not merged."""
        del record, seen
        raise QueueUnfit(
            f"The part {merged} was merged of others, which is not done in a job of several lanes "
            "yet. Name another job with --job, or another data directory."
        )

    async def unmerge_parts(self, merged: str, seen: Mapping[str, bytes]) -> None:
        """Refuse likewise."""
        await self.merge_parts(merged, b"", seen)
