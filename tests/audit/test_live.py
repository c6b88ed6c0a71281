"""A job under way, audited all the while: nothing that only moves is called missing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec import UNSET

from caption_flow.audit.tally import Findings, Mended
from caption_flow.feed.again import retry
from caption_flow.lifecycle import Drain
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.ports import Budget, LetterFilter
from tests.audit.office import Office
from tests.made import PATIENCE, pictures
from tests.roles import running, until
from tests.worker.engines import CountingEngine

PICTURES = 400
TIGHT = Budget(bytes=1 << 30, samples=60)  # so that some chunks wait
FEW = 5  # rounds that there must be, or the test has seen nothing


@pytest.fixture
def busy(office: Office) -> Office:
    """So many pictures that the job takes a while."""
    pictures(office.root, range(PICTURES), shard="many")
    return office


@asynccontextmanager
async def under_way(office: Office, engine: CountingEngine) -> AsyncIterator[Drain]:
    """A feeder, two workers and a sink of small parts, until asked to drain."""
    drain = Drain()
    feeder = office.roles.feeder(office.source, chunk_size=10, budget=TIGHT, drain=drain)
    workers = [
        await office.roles.worker(engine, drain=drain, exit_when_done=False) for _ in range(2)
    ]
    sink = office.roles.sink(rows=12, seconds=0.05, drain=drain, exit_when_done=False)
    roles = asyncio.gather(feeder.run(), *(worker.run() for worker in workers), sink.run())
    async with running(roles):
        yield drain
        drain.ask()
        async with asyncio.timeout(PATIENCE):
            await roles


async def until_done(office: Office, step: Callable[[], Awaitable[object]]) -> int:
    """Repeat a step until the job is done; answers how often."""
    rounds = 0
    async with asyncio.timeout(60):
        while not (await office.roles.counts()).done:
            await step()
            rounds += 1
    return rounds


async def _is_moving(office: Office) -> bool:
    """Once all was fed the feeder is gone; what is then fed again waits for another."""
    counts = await office.roles.counts()
    return not counts.plan_done or counts.in_flight > 0


async def _are_many(office: Office) -> bool:
    return (await office.roles.counts()).dead >= PICTURES // 4


def assert_sound(found: Findings) -> None:
    assert found.missing == ()
    assert found.differences == ()
    assert found.doubled == ()
    assert found.parts.half_published == ()
    assert found.parts.gone == {}
    assert found.balanced


@pytest.mark.parametrize("source", [True, False])
async def test_nothing_is_missing_while_it_moves(busy: Office, source: bool):
    async def look() -> None:
        assert_sound(await busy.look(source=source))

    async with under_way(busy, CountingEngine()):
        rounds = await until_done(busy, look)

    assert rounds >= FEW
    assert busy.captioned() == busy.ids()


async def test_nothing_is_missing_while_dead_letters_are_retried(busy: Office):
    """A retry takes samples back up the flow, past the one who reads down it."""
    for bad in sorted((busy.root / "many").iterdir())[::3]:
        bad.write_bytes(b"no image")
    letters = RedisDeadLetters(busy.roles.job.connections, busy.roles.job.job)
    looks: list[Findings] = []

    async def look() -> None:
        looks.append(await busy.look())
        assert_sound(looks[-1])

    async def retry_all() -> None:
        while True:
            await until(lambda: _are_many(busy))
            await retry(letters, letters.letters(LetterFilter()), UNSET)

    def are_of_many_moments() -> bool:
        return len({found.totals.dead for found in looks}) > FEW

    async with under_way(busy, CountingEngine()), running(retry_all()), asyncio.timeout(60):
        while len(looks) < 4 * FEW or not are_of_many_moments():
            await look()


async def test_mending_a_sound_job_under_way_doubles_nothing(busy: Office):
    mended: list[Mended] = []

    async def fix() -> None:
        mended.append(await busy.fix())

    async with under_way(busy, CountingEngine()):
        rounds = await until_done(busy, fix)

    assert rounds >= FEW
    assert {one.reissued for one in mended} == {0}
    assert busy.captioned() == busy.ids()


@pytest.mark.parametrize("place", ["chunks", "samples", "captions"])
async def test_what_is_deleted_under_way_is_captioned_once(busy: Office, place: str):
    """Whoever held it: the feeder, a worker, or the sink that has its row already."""
    deleted = 0

    async def delete_and_fix() -> None:
        nonlocal deleted
        deleted += await busy.delete_some(place, 2)
        await asyncio.gather(busy.fix(), busy.fix())

    async with under_way(busy, CountingEngine()):
        while deleted < FEW and await _is_moving(busy):
            await delete_and_fix()
    await busy.fix()
    await busy.finish()

    assert deleted
    assert Counter(busy.captioned()) == Counter(busy.ids())
    assert_sound(await busy.look())
