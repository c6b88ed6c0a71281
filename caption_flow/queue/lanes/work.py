"""Queue: WorkQueue over several lanes. Each is asked in turn, so that none starves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from caption_flow.errors import CaptionFlowError
from caption_flow.keeper import Renew
from caption_flow.model import EntryId, Failure, Lease, Outcomes, following
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.entries import bare, by_lane, lane_of, marked, renewing
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.lanes.rest import MOST, Rest
from caption_flow.queue.ports import Deferral
from caption_flow.queue.work import RedisWorkQueue

T = TypeVar("T")
# Until a claim of nothing is empty: longer than in one lane, since each look costs that many.
WAIT_SECONDS = MOST
_Settle: TypeAlias = Callable[[RedisWorkQueue, Sequence[tuple[Lease, T]]], Awaitable[list[bool]]]


class LanedWorkQueue(LanedJob):
    """WorkQueue, see ports."""

    def __init__(self, job: RedisJob, count: int, *, name: str) -> None:
        super().__init__(job, count)
        self._queues = tuple(RedisWorkQueue(lane, name=name) for lane in self.lanes)
        self._first = 0  # the lane that is asked first the next time
        self._rest = Rest()
        self._order: tuple[str, ...] = ()  # the stages of the job

    async def serve(
        self,
        order: Sequence[str],
        *,
        lease_seconds: float,
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> None:
        """Say which stages the job has, and of which to claim; again when that changes."""
        self._order = tuple(order)
        for queue in self._queues:
            await queue.serve(order, lease_seconds=lease_seconds, only=only, former=former)
        self._rest.end()

    async def claim(self, count: int, *, new: bool = True) -> list[Lease]:
        """Lease up to `count` samples of any lanes; empty when none came for a moment."""
        if not new:
            return []
        until = time.monotonic() + WAIT_SECONDS
        while True:
            if taken := await self._claim(count):
                self._rest.end()
                return taken
            await self._rest.take(until - time.monotonic())
            if time.monotonic() >= until:
                return []

    async def _claim(self, count: int) -> list[Lease]:
        """Ask each lane in turn, until there are enough."""
        taken: list[Lease] = []
        try:
            for _ in self._queues:
                lane = self._first
                self._first = (lane + 1) % len(self._queues)
                found = await self._queues[lane].claim(count - len(taken), wait=False)
                taken += [marked(lane, lease) for lease in found]
                if len(taken) >= count:
                    break
        except CaptionFlowError:
            if not taken:
                raise  # else a claim that begins behind what the others gave will say it
        except asyncio.CancelledError:
            for lane, leases in by_lane(taken, lambda lease: lease.entry).items():
                self._queues[lane].again(list(map(bare, leases)))
            raise
        return taken

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:
        """Read the encoded images of the samples, by entry; one that is gone is left out."""
        groups = by_lane(leases, lambda lease: lease.entry)
        found = await asyncio.gather(
            *(self._queues[lane].images(list(map(bare, held))) for lane, held in groups.items())
        )
        return {
            f"{lane}/{entry}": image
            for lane, images in zip(groups, found, strict=True)
            for entry, image in images.items()
        }

    def renewals(self) -> AbstractAsyncContextManager[Renew[Lease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return renewing([queue.renewals() for queue in self._queues])

    def drop(self, leases: Sequence[Lease]) -> None:
        """Note that leases were lost."""
        for lane, lost in by_lane(leases, lambda lease: lease.entry).items():
            self._queues[lane].drop(list(map(bare, lost)))

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:
        """Move samples on; False where the lease was lost and nothing happened."""
        ours = await self._settled(done, RedisWorkQueue.complete)
        if any(map(self._goes_on, done)):
            self._rest.end()  # what is another stage's now is there to be claimed
        return ours

    def _goes_on(self, done: tuple[Lease, Outcomes]) -> bool:
        lease, outcomes = done
        passed = {*lease.passed, *(outcome.stage for outcome in outcomes)}
        return following(self._order, passed) is not None

    async def fail(self, failed: Sequence[tuple[Lease, Failure]]) -> list[bool]:
        """Give samples up as dead letters; False where the lease was lost."""
        return await self._settled(failed, RedisWorkQueue.fail)

    async def defer(self, deferrals: Sequence[Deferral]) -> None:
        """Hand back samples that failed, each with its reason, to be tried again after a while."""
        for lane, group in by_lane(deferrals, lambda one: one.lease.entry).items():
            told = [replace(one, lease=bare(one.lease)) for one in group]
            await self._queues[lane].defer(told)

    async def suspect(self, lease: Lease, failure: Failure) -> None:
        """Note why a sample will have failed should its holder never be heard of again."""
        await self._queues[lane_of(lease.entry)].suspect(bare(lease), failure)

    async def release(self, leases: Sequence[Lease]) -> None:
        """Hand samples back, for anybody at once; it is no attempt."""
        for lane, group in by_lane(leases, lambda lease: lease.entry).items():
            await self._queues[lane].release(list(map(bare, group)))

    async def close(self) -> None:
        """Take our name off the groups."""
        for queue in self._queues:
            await queue.close()

    async def _settled(self, told: Sequence[tuple[Lease, T]], settle: _Settle[T]) -> list[bool]:
        """Settle samples in their lanes; answers in their order."""
        ours: dict[EntryId, bool] = {}
        for lane, group in by_lane(told, lambda pair: pair[0].entry).items():
            answer = await settle(self._queues[lane], [(bare(lease), one) for lease, one in group])
            ours |= {pair[0].entry: one for pair, one in zip(group, answer, strict=True)}
        return [ours[lease.entry] for lease, _ in told]
