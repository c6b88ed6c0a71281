"""Planner: every sample of the source is planned once, however often and by however many."""

import asyncio
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from caption_flow.config.vllm import Stage
from caption_flow.feed.planner import BACKLOG_CHUNKS
from caption_flow.lifecycle import Drain
from caption_flow.model import Listed, Raw
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Planned
from tests.feed.planning import Counting, Stopping, StopPlanning, names, publish, settle, waiting
from tests.made import folder_source, pictures, settings
from tests.roles import (
    AMPLE,
    Roles,
    ends,
    kill,
    names_of,
    running,
    until,
)


async def test_every_sample_is_planned_once(roles: Roles, tmp_path: Path):
    root = pictures(pictures(tmp_path / "in", range(9)), range(3), shard="below/deeper")

    await ends(roles.planner(folder_source(root), chunk_size=4).run())

    assert await roles.planned() == [*names(*range(9)), *names(0, 1, 2)]


async def test_a_plan_that_ended_counts_its_samples(roles: Roles, tmp_path: Path):
    await ends(roles.planner(folder_source(pictures(tmp_path / "in", range(9)))).run())

    counts = await roles.counts()

    assert (counts.planned, counts.plan_done) == (9, True)


async def test_an_empty_source_is_planned_at_once(roles: Roles, tmp_path: Path):
    await ends(roles.planner(folder_source(pictures(tmp_path / "in", []))).run())

    assert (await roles.counts()).done


async def test_a_plan_goes_on_after_the_last_name_whatever_came_or_went(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(10, 30))
    with pytest.raises(StopPlanning):
        await roles.planner(Stopping(root, Drain(), after=10), chunk_size=4).run()
    assert await roles.planned() == names(*range(10, 18))

    pictures(root, [0, 1, 25, 40])  # some before, some after
    (root / "00011.jpg").unlink()
    (root / "00017.jpg").unlink()
    (root / "00020.jpg").unlink()
    await ends(roles.planner(folder_source(root), chunk_size=4).run())

    rest = [n for n in range(18, 30) if n != 20]
    assert await roles.planned() == names(*range(10, 18), *rest, 40)


async def test_a_plan_goes_on_in_its_shard(roles: Roles, tmp_path: Path):
    root = tmp_path / "in"
    for shard in ("a", "b", "c"):
        pictures(root, range(4), shard=shard)
    with pytest.raises(StopPlanning):
        await roles.planner(Stopping(root, Drain(), after=7), chunk_size=2).run()

    await ends(roles.planner(folder_source(root), chunk_size=2).run())

    assert await roles.planned() == names(0, 1, 2, 3) * 3


async def test_a_shard_that_is_gone_does_not_stop_the_plan(roles: Roles, tmp_path: Path):
    root = tmp_path / "in"
    for shard in ("a", "b", "c"):
        pictures(root, range(2), shard=shard)
    with pytest.raises(StopPlanning):
        await roles.planner(Stopping(root, Drain(), after=3), chunk_size=1).run()
    for path in (root / "b").iterdir():
        path.unlink()
    (root / "b").rmdir()

    await ends(roles.planner(folder_source(root), chunk_size=1).run())

    assert await roles.planned() == names(0, 1, 0, 0, 1)


async def test_two_planners_double_nothing(roles: Roles, tmp_path: Path):
    source = folder_source(pictures(tmp_path / "in", range(40)))

    async with asyncio.timeout(20):
        await asyncio.gather(*(roles.planner(source, chunk_size=3).run() for _ in range(2)))

    assert await roles.planned() == names(*range(40))


async def test_a_planner_takes_over_from_one_that_died(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(200))
    first = roles.planner(folder_source(root), chunk_size=2)
    async with running(first.run()) as planning:
        await until(lambda: waiting(roles, BACKLOG_CHUNKS))
        second = asyncio.create_task(roles.planner(folder_source(root), chunk_size=2).run())
        await kill(planning)

    eaten: list[str] = []
    while not second.done():
        eaten += await _eat(roles)
    await second

    assert eaten + await roles.planned() == names(*range(200))


async def _eat(roles: Roles) -> list[str]:
    """Take away all chunks that wait, as feeders do when they are done with them."""
    await asyncio.sleep(0)
    entries = await roles.client.xrange(roles.job.lane.chunks)
    if entries:
        await roles.client.xdel(roles.job.lane.chunks, *(entry for entry, _ in entries))
    return [name for _, fields in entries for name in names_of(fields)]


class DeafQueue(RedisFeedQueue):
    """A queue each of whose plans is made twice, as after a lost answer."""

    async def plan(self, *args: object, **kwargs: object) -> Planned:
        await super().plan(*args, **kwargs)  # type: ignore[arg-type]
        return await super().plan(*args, **kwargs)  # type: ignore[arg-type]


async def test_a_plan_whose_answer_got_lost_is_not_made_twice(roles: Roles, tmp_path: Path):
    queue = DeafQueue(roles.job, name="deaf", stages=["caption"], lease_seconds=60)
    source = folder_source(pictures(tmp_path / "in", range(20)))

    await ends(roles.planner(source, queue=queue).run())

    assert await roles.planned() == names(*range(20))


async def test_a_second_time_only_new_files_are_planned(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(6))
    (root / "00003.jpg").write_bytes(b"no image")
    await settle(roles, folder_source(root))
    pictures(root, [2, 7, 8])

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(7, 8)


async def test_a_job_without_anything_new_is_done_again_at_once(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(6))
    await settle(roles, folder_source(root))

    await ends(roles.planner(folder_source(root)).run())

    assert (await roles.counts()).done


async def test_what_is_new_is_planned_while_the_rest_is_on_its_way(roles: Roles, tmp_path: Path):
    """Samples in chunks, in stages, among the captions and dead letters are all known."""
    root = pictures(tmp_path / "in", [0, 1, 2, 3, 5, 6])
    (root / "00005.jpg").write_bytes(b"no image")
    await ends(roles.feeder(folder_source(root), chunk_size=2).run())
    await roles.caption_some(2)
    pictures(root, [9])
    await ends(roles.planner(folder_source(root)).run())
    pictures(root, [4])

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(9, 4)


async def test_chunks_of_two_generations_that_wait_together_are_offered_each_once(
    roles: Roles, tmp_path: Path
):
    """Both begin at the same place of the same shard."""
    root = pictures(tmp_path / "in", range(1, 4))
    await ends(roles.planner(folder_source(root)).run())
    pictures(root, [0])
    await ends(roles.planner(folder_source(root)).run())

    await ends(roles.feeder(folder_source(root)).run())

    assert await roles.waiting() == names(0, 1, 2, 3)


class Endless:
    """A million names, made as they are asked for."""

    dataset = "endless"

    def fingerprint(self, shard: str) -> str:
        return shard and ""

    def __init__(self, count: int) -> None:
        self._count = count
        self.made = 0

    def shards(self, start: str | None = None) -> Iterator[str]:
        yield start or "."

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        del shard, after
        for number in range(self._count):
            self.made += 1
            yield Listed(f"{number:09}.jpg")

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        raise NotImplementedError


async def test_a_million_names_wait_in_the_source_and_not_in_redis(roles: Roles):
    source = Endless(1_000_000)
    tracemalloc.start()
    try:
        async with running(roles.planner(source, chunk_size=1000).run()):
            await until(lambda: waiting(roles, BACKLOG_CHUNKS))
            await until(lambda: source.made >= (BACKLOG_CHUNKS + 1) * 1000)
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert source.made <= (BACKLOG_CHUNKS + 1) * 1000
    assert peak < 8 << 20
    assert await roles.client.xlen(roles.job.lane.chunks) == BACKLOG_CHUNKS


async def test_a_chunk_that_is_offered_leaves_no_cursor(roles: Roles, tmp_path: Path):
    """What the books keep of a job does not grow with it."""
    source = folder_source(pictures(tmp_path / "in", range(12)))
    await ends(roles.feeder(source, chunk_size=3, budget=AMPLE).run())

    assert set(await roles.client.hkeys(roles.job.lane.cursors)) == {b"plan", b"images"}


async def test_planning_ends_when_asked_to_drain(roles: Roles, tmp_path: Path):
    drain = Drain()
    source = folder_source(pictures(tmp_path / "in", range(100)))
    async with running(roles.planner(source, chunk_size=1, drain=drain).run()) as planning:
        await until(lambda: waiting(roles, BACKLOG_CHUNKS))
        drain.ask()
        await ends(planning)

    assert not (await roles.counts()).plan_done


@pytest.mark.parametrize("folders", [1, 50], ids=["known samples", "empty folders"])
async def test_planning_of_what_adds_nothing_ends_when_asked_to_drain(
    roles: Roles, tmp_path: Path, folders: int
):
    """Where no chunk is added the backlog never fills, and there is nothing to wait for."""
    for number in range(folders):
        (tmp_path / "in" / f"{number}").mkdir(parents=True)
    if folders == 1:
        pictures(tmp_path / "in", range(100), shard="0")
    publish(roles, *range(100), shard="0")
    drain = Drain()
    source = Counting(tmp_path / "in", drain, after=3)

    await ends(roles.planner(source, chunk_size=1, drain=drain).run())

    assert source.given <= 4
    assert not (await roles.counts()).plan_done


async def test_what_is_in_a_stage_of_another_name_is_on_its_way(roles: Roles, tmp_path: Path):
    """The document of this feeder names the stages otherwise than that of the one before it."""
    source = folder_source(pictures(tmp_path / "in", range(5)))
    await ends(roles.feeder(source).run())
    roles.told = settings(stages=(Stage(name="describe", model="", prompts=("Describe.",)),))

    await ends(roles.planner(source).run())

    assert await roles.planned() == []
