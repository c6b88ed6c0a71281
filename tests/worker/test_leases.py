"""Leases: renewed while a sample is in hand; what is lost is dropped, and nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from caption_flow.codec import records
from caption_flow.errors import QueueUnfit
from caption_flow.keeper import Renew
from caption_flow.model import Lease
from caption_flow.worker.worker import Worker
from tests.made import jpeg, outcome
from tests.roles import (
    LastingQueue,
    Roles,
    ends,
    kill,
    running,
    until,
)
from tests.worker.engines import CountingEngine

IMAGES = [jpeg(n) for n in range(40)]


async def test_a_sample_whose_lease_is_lost_is_dropped(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await roles.offer(IMAGES[:1])
    engine = CountingEngine()
    engine.gate.clear()
    worker = await roles.worker(engine, lease_seconds=0.15)  # it renews often; nothing runs out
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 1)
        other = await roles.work_queue("other")
        lease = await _taken(roles, "other")
        await until(lambda: engine.inside == 0)
        assert "Lost the lease on 00000.jpg" in caplog.text

        engine.gate.set()
        await other.complete([(lease, (outcome(),))])
        await ends(working)

    assert worker.settler.completed == 0
    assert len(await roles.captions()) == 1


async def _taken(roles: Roles, other: str) -> Lease:
    """Let another worker have the one sample, as when its lease ran out."""
    stream = roles.job.lane.samples("caption")
    [row] = await roles.client.xpending_range(stream, "workers", "-", "+", 2)
    entry = row["message_id"]
    [(_, fields)] = await roles.client.xclaim(stream, "workers", other, 0, [entry])
    return records.lease_from(entry.decode(), "caption", fields, 2)


async def test_what_is_captioned_but_taken_by_another_is_not_counted(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await roles.offer(IMAGES[:1])
    engine = CountingEngine()
    engine.gate.clear()
    worker = await roles.worker(engine)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 1)
        other = await roles.work_queue("other")
        lease = await _taken(roles, "other")
        engine.gate.set()
        await until(lambda: "another worker has it" in caplog.text)
        await other.complete([(lease, (outcome(),))])
        await ends(working)

    assert worker.settler.completed == 0
    assert len(await roles.captions()) == 1


async def test_leases_of_what_is_in_the_engine_are_renewed(roles: Roles):
    await roles.offer(IMAGES)
    engine = CountingEngine(capacity=1)
    engine.gate.clear()
    worker = await roles.worker(engine, lease_seconds=0.03)
    async with running(worker.run()):
        # With its hands full it claims no more: a claim would take up again what ran out.
        await until(lambda: _is_full(worker))
        await roles.expire_samples()

        await until(lambda: _are_young(roles))


def _is_full(worker: Worker) -> bool:
    figures = worker.figures()
    return figures["in_hand"] == figures["in_flight"] + figures["claim_ahead"]


async def _are_young(roles: Roles) -> bool:
    rows = await roles.client.xpending_range(
        roles.job.lane.samples("caption"), "workers", "-", "+", 99
    )
    return all(row["time_since_delivered"] < 10_000 and row["times_delivered"] == 1 for row in rows)


class SlowCompleting(LastingQueue):
    """Answers a completion only after leases were renewed, and found to be lost."""

    home: asyncio.AbstractEventLoop

    async def complete(self, done: object) -> list[bool]:
        self.renewed = asyncio.Event()
        answer = await super().complete(done)  # type: ignore[arg-type]
        await self.renewed.wait()
        return answer

    def drop(self, leases: object) -> None:
        raise AssertionError(f"{leases} were being settled")

    @asynccontextmanager
    async def renewals(self) -> AsyncIterator[Renew[Lease]]:
        home = self.home
        async with super().renewals() as renew:

            async def renew_and_tell(held: Sequence[Lease]) -> list[Lease]:
                if lost := await renew(held):
                    home.call_soon_threadsafe(self.renewed.set)
                return lost

            yield renew_and_tell


async def test_a_renewal_while_a_completion_is_on_its_way_is_no_loss(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await roles.offer(IMAGES[:1])
    queue = SlowCompleting(roles.job, name="slow")
    queue.home = asyncio.get_running_loop()
    await queue.serve(["caption"], lease_seconds=60)
    worker = await roles.worker(CountingEngine(), queue=queue, lease_seconds=0.03)

    await ends(worker.run())

    assert worker.settler.completed == 1
    assert "Lost the lease" not in caplog.text


class RefusingQueue(LastingQueue):
    """Refuses completions for good, as a server that took our rights away."""

    async def complete(self, done: object) -> list[bool]:  # noqa: ARG002 - it takes what all take
        raise QueueUnfit("Our user may not do that any more.")


async def test_a_worker_that_cannot_settle_for_good_ends_and_says_why(roles: Roles):
    await roles.offer(IMAGES)
    queue = RefusingQueue(roles.job, name="refused")
    await queue.serve(["caption"], lease_seconds=60)
    worker = await roles.worker(CountingEngine(capacity=2), queue=queue)

    with pytest.raises(QueueUnfit, match="may not do that"):
        await ends(worker.run())


async def test_a_killed_workers_samples_go_to_another(roles: Roles):
    await roles.offer(IMAGES)
    engine = CountingEngine()
    engine.gate.clear()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: engine.inside == 8)
        await kill(working)
    await roles.expire_samples()

    await ends((await roles.worker(CountingEngine())).run())

    assert len(await roles.captions()) == 40
