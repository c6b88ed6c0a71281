"""Drain: what is begun is finished, the rest goes back at once, and no attempt is counted."""

from caption_flow.lifecycle import Drain
from caption_flow.model import Lease
from tests.made import jpeg
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine

IMAGES = [jpeg(n) for n in range(20)]


async def claimed(roles: Roles) -> list[Lease]:
    """What another worker gets at once."""
    queue = await roles.work_queue()
    leases: list[Lease] = []
    while more := await queue.claim(100):
        leases += more
    return leases


def attempts(leases: list[Lease]) -> set[int]:
    return {lease.attempt for lease in leases}


async def test_what_is_not_begun_goes_back_without_an_attempt_while_the_rest_runs(roles: Roles):
    await roles.offer(IMAGES)
    drain, engine = Drain(), CountingEngine(capacity=4)
    engine.gate.clear()
    worker = await roles.worker(engine, drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 4)
        drain.ask()
        await until(lambda: worker.figures()["in_hand"] == 4)

        others = await claimed(roles)
        engine.gate.set()
        await ends(working)

    assert (len(others), attempts(others)) == (16, {1})
    assert len(await roles.captions()) == 4


async def test_nothing_new_is_begun_while_draining(roles: Roles):
    await roles.offer(IMAGES)
    drain, engine = Drain(), CountingEngine(capacity=4)
    engine.gate.clear()
    worker = await roles.worker(engine, drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 4)
        drain.ask()
        await until(lambda: worker.figures()["in_hand"] == 4)
        engine.gate.set()
        await ends(working)

    assert len(engine.begun) == 4


async def test_without_patience_everything_goes_back_without_an_attempt(roles: Roles):
    await roles.offer(IMAGES)
    drain, engine = Drain(), CountingEngine(capacity=4)
    engine.gate.clear()
    worker = await roles.worker(engine, drain=drain, drain_timeout=0)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 4)
        drain.ask()
        await ends(working)

    others = await claimed(roles)
    assert (len(others), attempts(others)) == (20, {1})


async def test_what_is_captioned_is_settled_before_the_worker_ends(roles: Roles):
    await roles.offer(IMAGES)
    drain, engine = Drain(), CountingEngine(capacity=4)
    worker = await roles.worker(engine, drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: engine.begun)
        drain.ask()
        await ends(working)

    captioned = len(await roles.captions())
    assert captioned == worker.settler.completed == len(engine.begun)
    assert captioned + len(await claimed(roles)) == 20


async def test_a_drain_before_the_first_claim_ends_at_once(roles: Roles):
    await roles.offer(IMAGES[:1])
    drain, engine = Drain(), CountingEngine()
    drain.ask()

    await ends((await roles.worker(engine, drain=drain)).run())

    assert engine.begun == []
