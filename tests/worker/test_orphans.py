"""Workers that die with all they hold: nobody pays for another's death but who caused it."""

import asyncio
import hashlib
import signal
import sys

import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.worker.hand import MOST_ORPHANED
from tests.made import jpeg, settings
from tests.roles import JOB, Roles, ends
from tests.worker.engines import MortalEngine

IMAGES = [jpeg(n) for n in range(40)]


async def hold_and_die(roles: Roles, times: int, count: int = 40) -> None:
    """Let as many workers as told claim samples and never be heard of again."""
    for _ in range(times):
        assert len(await (await roles.work_queue()).claim(count)) == count
        await roles.expire_samples()


@pytest.mark.parametrize("times", [1, 3, 10])
async def test_no_sample_is_given_up_for_who_held_it(roles: Roles, times: int):
    await roles.offer(IMAGES)
    await hold_and_die(roles, times)

    await ends((await roles.worker(MortalEngine([]))).run())

    assert await roles.dead() == {}
    assert len(await roles.captions()) == 40


async def test_who_was_held_by_several_that_died_is_tried_alone(roles: Roles):
    """It may be what they died of."""
    await roles.offer(IMAGES[:8])
    await hold_and_die(roles, MOST_ORPHANED, count=1)
    engine = MortalEngine([])

    await ends((await roles.worker(engine)).run())

    assert engine.beside[IMAGES[0]] == [1]


async def test_who_was_held_by_fewer_that_died_is_not(roles: Roles):
    """Workers come and go, each with a hundred samples in its hands."""
    await roles.offer(IMAGES[:8])
    await hold_and_die(roles, MOST_ORPHANED - 1, count=8)
    engine = MortalEngine([])

    await ends((await roles.worker(engine)).run())

    assert max(inside for [inside] in engine.beside.values()) > 1


@pytest.mark.parametrize("where", ["decode", "engine"])
async def test_the_image_that_kills_workers_is_a_dead_letter_and_its_neighbours_are_captions(
    roles: Roles, redis_url: str, where: str
):
    roles.told = settings(simulated=SimulatedConfig(latency=(0.01, 0.02), decode=True))
    await roles.feed_queue().publish(roles.told.encode(), "pictures")
    await roles.offer(IMAGES)

    deaths = await _work_until_done(roles, redis_url, where, IMAGES[11])

    [letter] = (await roles.dead()).values()
    assert letter.sample.id == "00011.jpg"
    assert letter.failure.reason == "worker_died"
    assert [why.reason for why in letter.earlier] == ["worker_died"] * 3
    assert len(await roles.captions()) == 39
    assert deaths == MOST_ORPHANED + 3  # among its neighbours, and alone at each attempt


async def _work_until_done(roles: Roles, url: str, where: str, killer: bytes) -> int:
    """Start the worker again each time it dies; answers how often that was."""
    digest = hashlib.sha256(killer).hexdigest()
    words = ["-m", "tests.worker.dying", where, digest]
    given = ["--redis", url, "--job", JOB, "--exit-when-done"]
    for deaths in range(20):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, *words, *given, stderr=asyncio.subprocess.PIPE
        )
        _, said = await worker.communicate()
        if worker.returncode == 0:
            return deaths
        assert worker.returncode == -signal.SIGKILL, said.decode()
        await roles.expire_samples()
    raise AssertionError("it dies of everything")
