"""Pace: a Worker far from its queue finds out how far ahead it must claim."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.errors import QueueUnreachable
from caption_flow.model import EntryId, Lease, Outcomes
from caption_flow.queue.job import RedisJob
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.worker.meter import Meter
from tests.made import jpeg
from tests.roles import Roles, running, until

FAR = 0.2  # seconds
FAILURES = 4  # of each kind of call, some seconds in all


class FarQueue(RedisWorkQueue):
    """Answers late."""

    async def claim(self, count: int, *, new: bool = True) -> list[Lease]:
        await asyncio.sleep(FAR)
        return await super().claim(count, new=new)

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:  # type: ignore[override]
        await asyncio.sleep(FAR)
        return await super().images(leases)

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:  # type: ignore[override]
        await asyncio.sleep(FAR)
        return await super().complete(done)


class FailingQueue(RedisWorkQueue):
    """Is not there for the first calls of each kind, which takes a while."""

    def __init__(self, job: RedisJob, *, name: str) -> None:
        super().__init__(job, name=name)
        self._failed: Counter[str] = Counter()

    def _fail(self, call: str) -> None:
        if self._failed[call] < FAILURES:
            self._failed[call] += 1
            raise QueueUnreachable("No answer.")

    async def claim(self, count: int, *, new: bool = True) -> list[Lease]:
        self._fail("claim")
        return await super().claim(count, new=new)

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:  # type: ignore[override]
        self._fail("images")
        return await super().images(leases)

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:  # type: ignore[override]
        self._fail("complete")
        return await super().complete(done)


async def test_outage_of_the_queue_makes_nobody_claim_more(roles: Roles):
    """What a call takes is what it takes when it is answered."""
    await roles.offer([jpeg(n) for n in range(300)])
    engine = SimulatedEngine(SimulatedConfig(latency=(0.03, 0.05)), capacity=8)
    queue = FailingQueue(roles.job, name="failing")
    begun = time.monotonic()
    worker = await roles.worker(engine, queue=queue)
    async with running(worker.run()):
        await until(lambda: worker.settler.completed > 0)
        out = (time.monotonic() - begun) / 3
        means = worker._pace._means

        assert max(means.claim.value, means.fetch.value, means.settle.value) < out / 2


async def test_far_queue_does_not_leave_the_engine_idle(roles: Roles):
    """With what is claimed at first, seven slots in ten would be."""
    await roles.offer([jpeg(n) for n in range(500)])
    engine = SimulatedEngine(SimulatedConfig(latency=(0.03, 0.05)), capacity=8, holds=16)
    meter = Meter(engine.capacity)
    worker = await roles.worker(engine, queue=FarQueue(roles.job, name="far"), meter=meter)
    async with running(worker.run()):
        await until(lambda: worker.settler.completed >= 200)
        idle, busy = meter.idle_seconds, meter.busy_seconds
        await until(lambda: worker.settler.completed >= 400)

        assert (meter.idle_seconds - idle) / (meter.busy_seconds - busy) < 0.05
        assert worker.figures()["claim_ahead"] > 40
