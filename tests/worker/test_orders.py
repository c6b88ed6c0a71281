"""Orders: in a pause a worker finishes what it has and keeps its engine; one that drains ends."""

import pytest

from caption_flow.queue.operate import RedisOperator
from caption_flow.queue.ports import Order
from tests.made import jpeg
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine
from tests.worker.hosts import Host, TellingEngine, publish

IMAGES = [jpeg(n) for n in range(60)]
ANN = Order("ann", 0.0)


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let orders be looked for often."""
    monkeypatch.setattr("caption_flow.ear.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("caption_flow.worker.crew.LOOK_SECONDS", 0.01)


@pytest.fixture
def operator(roles: Roles) -> RedisOperator:
    return RedisOperator(roles.job.connections, roles.job.job)


async def test_pause_lets_what_is_claimed_be_finished_and_nothing_more(roles: Roles):
    await roles.offer(IMAGES)
    paused, engine = [False], CountingEngine(capacity=4)
    engine.gate.clear()
    worker = await roles.worker(engine, paused=lambda: paused[0])
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 4)
        paused[0] = True
        engine.gate.set()
        await until(lambda: worker.figures()["in_hand"] == 0)
        done = (await roles.counts()).completed
        in_pause = await roles.client.xpending(roles.job.lane.samples("caption"), "workers")
        paused[0] = False
        await ends(working)

    assert 4 <= done < 60
    assert in_pause["pending"] == 0  # however long it lasts, nothing is kept from others
    assert (await roles.counts()).completed == 60


async def test_crew_rests_in_a_pause_with_its_engine_loaded(roles: Roles, operator: RedisOperator):
    await publish(roles)
    await operator.pause(ANN)
    await roles.offer(IMAGES)
    host = Host(roles)
    async with running(host.run()) as working:
        await until(lambda: host.herald and host.herald.state == "working")
        for _ in range(3):
            await operator.orders("host")
        before = (await roles.counts()).completed, host.crew.paused
        await operator.resume()
        await ends(working)

    assert before == (0, True)
    assert host.diary == ["start ", "stop "]
    assert (await roles.counts()).completed == 60


async def test_process_that_is_to_drain_ends_well_and_others_go_on(
    roles: Roles, operator: RedisOperator
):
    await publish(roles)
    await roles.offer(IMAGES[:20])
    leaving, staying = Host(roles, exit_when_done=False), Host(roles, exit_when_done=False)
    async with running(leaving.run("leaving")) as ending, running(staying.run("staying")) as going:
        await until(lambda: leaving.herald and staying.herald)
        await operator.drain("leaving", ANN)
        await ends(ending)
        await roles.offer(IMAGES[20:], first=20)
        await until(lambda: _all_done(roles))

        assert not going.done()


async def test_process_that_loads_hears_that_it_is_to_drain(roles: Roles, operator: RedisOperator):
    class Endless(TellingEngine):
        async def start(self) -> None:
            await super().start()
            await until(lambda: False)

    await publish(roles)
    host = Host(roles, Endless)
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await operator.drain("host", ANN)
        await ends(working)


async def _all_done(roles: Roles) -> bool:
    return (await roles.counts()).completed == len(IMAGES)
