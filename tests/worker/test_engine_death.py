"""An engine's death: the one image that kills engines is found, and nobody else pays for it."""

import asyncio

import pytest

from caption_flow.errors import EngineGone, EngineUseless
from caption_flow.lifecycle import Drain
from caption_flow.model import Failure
from caption_flow.queue.ports import Deferral
from caption_flow.retry import Backoff
from caption_flow.worker import caretaker
from caption_flow.worker.caretaker import MOST_KILLERS, STARTS
from tests.made import jpeg, settings
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine, HangingEngine, MortalEngine
from tests.worker.test_drain import attempts, claimed

IMAGES = [jpeg(n) for n in range(40)]


async def test_the_killer_is_a_dead_letter_and_its_neighbours_are_captions(roles: Roles):
    await roles.offer(IMAGES)

    await ends((await roles.worker(MortalEngine([IMAGES[11]]))).run())

    dead = await roles.dead()
    captions = await roles.captions()
    assert set(dead) == {"00011.jpg"}
    assert len(captions) == 39
    assert {caption.outcomes[0].attempt for caption in captions} == {1}


async def test_several_killers_are_found(roles: Roles):
    await roles.offer(IMAGES)

    await ends((await roles.worker(MortalEngine(IMAGES[10:13]))).run())

    assert set(await roles.dead()) == {"00010.jpg", "00011.jpg", "00012.jpg"}
    assert len(await roles.captions()) == 37


async def test_the_letter_of_a_killer_tells_each_attempt(roles: Roles):
    await roles.offer(IMAGES[:9])

    await ends((await roles.worker(MortalEngine([IMAGES[4]]))).run())

    [letter] = (await roles.dead()).values()
    reasons = [(why.reason, why.attempt) for why in (*letter.earlier, letter.failure)]
    assert reasons == [("engine_died", 1), ("engine_died", 2), ("engine_died", 3)]


async def test_suspects_are_tried_alone(roles: Roles):
    await roles.offer(IMAGES[:8])
    engine = MortalEngine([IMAGES[4]])
    engine.gate.clear()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: engine.inside == 8)
        engine.gate.set()
        await ends(working)

    assert engine.beside[IMAGES[7]][-1] == 1
    assert set(engine.beside[IMAGES[4]][1:]) == {1}


async def test_who_waited_for_the_engine_is_no_suspect(roles: Roles):
    await roles.offer(IMAGES[:24])
    engine = MortalEngine(IMAGES[:1], capacity=8)
    engine.gate.clear()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: engine.inside == 8)
        engine.gate.set()
        await ends(working)

    assert max(engine.beside[image][0] for image in IMAGES[8:24]) > 1


async def test_a_sample_that_saw_an_engine_die_elsewhere_is_tried_alone(roles: Roles):
    await roles.offer(IMAGES[:8])
    other = await roles.work_queue()
    why = Failure("engine_died", "The engine is gone.", 1.0, "caption", 1, "other", own=False)
    [marked] = await other.claim(1)
    await other.defer([Deferral(marked, why, 0.0)])
    engine = MortalEngine([])

    await ends((await roles.worker(engine)).run())

    assert engine.beside[IMAGES[0]] == [1]
    assert max(inside for [inside] in engine.beside.values()) > 1


async def test_an_engine_that_does_not_start_again_ends_its_worker_and_costs_no_attempt(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await roles.offer(IMAGES)
    worker = await roles.worker(MortalEngine(IMAGES[:1], starts=0))

    with pytest.raises(EngineGone, match="does not start again: The GPU has fallen off"):
        await ends(worker.run())

    others = await claimed(roles)
    assert attempts(others) == {1}
    assert len(others) + len(await roles.captions()) == 40
    assert caplog.text.count("The engine does not start again") == STARTS


async def test_who_has_the_suspects_next_is_told(roles: Roles):
    await roles.offer(IMAGES[:8])
    engine = MortalEngine(IMAGES[:1], starts=0)
    engine.gate.clear()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: engine.inside == 8)
        engine.gate.set()
        with pytest.raises(EngineGone):
            await ends(working)

    witnesses = [lease for lease in await claimed(roles) if lease.failures]
    assert IMAGES[0] in (await (await roles.work_queue()).images(witnesses)).values()
    assert {why.reason for lease in witnesses for why in lease.failures} == {"engine_died"}


async def test_an_engine_that_dies_of_everything_ends_its_worker(roles: Roles):
    """Instead of burning everyone's attempts."""
    await roles.offer(IMAGES)

    with pytest.raises(EngineUseless, match=f"died with {MOST_KILLERS} different samples") as told:
        await ends((await roles.worker(MortalEngine(IMAGES))).run())

    assert told.value.exit_code == 2  # its supervisor shall not start it again
    assert await roles.dead() == {}
    others = await claimed(roles)
    assert sum(lease.attempt > 1 for lease in others) == MOST_KILLERS


async def test_a_hung_engine_is_started_again_and_its_image_found(roles: Roles):
    roles.told = settings(engine_timeout=0.05)
    await roles.offer(IMAGES)
    engine = HangingEngine(IMAGES[11])

    await ends((await roles.worker(engine)).run())

    [letter] = (await roles.dead()).values()
    assert letter.sample.id == "00011.jpg"
    assert "no token for 0.05 s" in letter.failure.detail
    assert len(await roles.captions()) == 39
    assert engine.starts == 1 + 3  # among its neighbours, and alone at each attempt


async def test_an_engine_that_works_slowly_is_not_taken_for_dead(roles: Roles):
    """It gives tokens, though no request of it ends."""
    roles.told = settings(engine_timeout=0.05)
    await roles.offer(IMAGES[:1])
    engine = CountingEngine()
    engine.gate.clear()
    worker = await roles.worker(engine)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 1)
        for _ in range(20):
            engine.signs += 1
            await asyncio.sleep(0.01)  # a fifth of what it may be silent
        engine.gate.set()
        await ends(working)

    assert worker.figures()["engine_deaths"] == 0


async def test_leases_are_renewed_while_the_engine_loads_again(roles: Roles):
    await roles.offer(IMAGES[:8])
    loading = asyncio.Event()
    loaded = asyncio.Event()

    class SlowToLoad(MortalEngine):
        async def start(self) -> None:
            loading.set()
            await loaded.wait()
            await super().start()

    worker = await roles.worker(SlowToLoad(IMAGES[:1]), lease_seconds=0.03)
    async with running(worker.run()) as working:
        await loading.wait()
        assert worker.figures()["slots"] == 0  # or it would be taken for full
        await roles.expire_samples()
        await until(lambda: _all_young(roles))
        loaded.set()
        await ends(working)

    assert worker.figures()["slots"] == 8


async def _all_young(roles: Roles) -> bool:
    rows = await roles.client.xpending_range(
        roles.job.lane.samples("caption"), "workers", "-", "+", 100
    )
    return all(row["time_since_delivered"] < 10_000 for row in rows)


async def test_a_stop_while_the_engine_is_away_hands_everything_back(roles: Roles):
    await roles.offer(IMAGES[:20])
    drain, loading = Drain(), asyncio.Event()

    class NeverBack(MortalEngine):
        async def start(self) -> None:
            loading.set()
            await asyncio.Event().wait()

    worker = await roles.worker(NeverBack(IMAGES[:1]), drain=drain, drain_timeout=0.05)
    async with running(worker.run()) as working:
        await loading.wait()
        drain.ask()
        await ends(working)

    others = await claimed(roles)
    assert attempts(others) == {1}
    assert len(others) + len(await roles.captions()) == 20


async def test_whatever_a_start_raises_is_a_start_that_failed(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """An engine's own errors are of any kind, and nobody else waits for them."""
    monkeypatch.setattr(caretaker, "START_BACKOFF", Backoff(first=0.001))

    class Broken(MortalEngine):
        async def start(self) -> None:
            raise AssertionError("a mistake in the engine")

    await roles.offer(IMAGES)

    with pytest.raises(EngineGone, match="does not start again: a mistake in the engine"):
        await ends((await roles.worker(Broken(IMAGES[:1]))).run())


async def test_an_engine_that_never_ends_starting_again_is_given_up(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(caretaker, "RESTART_SECONDS", 0.05)

    class Stuck(MortalEngine):
        async def start(self) -> None:
            await asyncio.Event().wait()

    await roles.offer(IMAGES)

    with pytest.raises(EngineGone, match="Starting it again took too long"):
        await ends((await roles.worker(Stuck(IMAGES[:1]))).run())

    assert attempts(await claimed(roles)) == {1}
