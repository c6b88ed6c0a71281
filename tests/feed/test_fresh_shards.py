"""Planner: a large job goes on at once, and reads of its parts what it must."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from caption_flow.audit.planned import planned
from caption_flow.dataset.known import Known
from caption_flow.feed.planner import BACKLOG_CHUNKS
from caption_flow.feed.position import Position
from caption_flow.feed.selection import Selection
from caption_flow.feed.whereabouts import FolderWhereabouts
from caption_flow.sink.records import record
from tests.feed.planning import names, plan_a_part, publish
from tests.made import folder_source, pictures
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)


def shards_of(tmp_path: Path, *shards: str) -> Path:
    for shard in shards:
        pictures(tmp_path / "in", range(4), shard=shard)
    return tmp_path / "in"


async def remember(roles: Roles) -> None:
    """Have the queue know the parts as if it had never forgotten them."""
    for part in roles.folder.published():
        await roles.client.hset(roles.job.lane.parts, part, record(1, {}))


def damage(roles: Roles) -> None:
    """Let nobody read the rows of a part."""
    for part in roles.folder.published():
        roles.folder.file(part).write_bytes(b"no part")


async def test_shards_of_which_no_part_has_a_row_are_planned_first(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And the others at once after them."""
    monkeypatch.setattr("caption_flow.feed.planner.BEATEN_SECONDS", 3600.0)
    root = shards_of(tmp_path, "a", "b", "c")
    publish(roles, 0, 3, shard="a")

    planner = roles.planner(folder_source(root))
    await ends(planner.run())

    assert await roles.planned() == [*names(0, 1, 2, 3), *names(0, 1, 2, 3), *names(1, 2)]
    assert (await roles.counts()).plan_done
    assert (planner.shards, planner.skipped) == (4, 2)  # "." is one too


async def test_with_a_limit_the_first_samples_are_those_that_are_wanted(
    roles: Roles, tmp_path: Path
):
    root = shards_of(tmp_path, "a", "b")
    publish(roles, 0, shard="a")

    await ends(roles.planner(folder_source(root), selection=Selection(limit=3)).run())

    assert await roles.planned() == names(1, 2)


async def test_a_shard_that_got_its_first_row_while_it_was_planned_is_planned_once(
    roles: Roles, tmp_path: Path
):
    root = shards_of(tmp_path, "a", "b", "c")
    publish(roles, 0, shard="a")
    await plan_a_part(roles, root, 4)  # of b, which is on its way now
    publish(roles, 0, 1, shard="b")
    await remember(roles)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == [*names(*range(4)), *names(*range(4)), *names(1, 2, 3)]


async def test_where_a_part_names_no_shards_all_is_planned_in_the_order_of_the_source(
    roles: Roles, tmp_path: Path
):
    root = shards_of(tmp_path, "a", "b")
    publish(roles, 0, shard="a")
    [part] = roles.folder.published()
    file = roles.folder.file(part)
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["shard"]), file)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == [*names(1, 2, 3), *names(0, 1, 2, 3)]


async def test_a_plan_that_goes_on_reads_no_part_that_was_never_forgotten(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(10))
    await plan_a_part(roles, root, 4)
    publish(roles, 0, 1)
    await remember(roles)
    damage(roles)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(*range(10))


async def test_a_plan_that_goes_on_leaves_out_what_stands_in_forgotten_parts(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(10))
    await plan_a_part(roles, root, 4)
    publish(roles, 5)
    [again] = roles.folder.published()
    await roles.client.hset(roles.job.lane.parts, again, record(1, {}, again=True))
    publish(roles, 7)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(0, 1, 2, 3, 4, 6, 8, 9)


async def test_a_planner_that_read_few_parts_reads_them_when_the_queue_was_set_back(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(200))
    await plan_a_part(roles, root, 4)
    backup = await roles.job.client.dump(roles.job.lane.cursors)
    await plan_a_part(roles, root, 4)
    publish(roles, *range(8))
    await remember(roles)
    async with running(roles.planner(folder_source(root)).run()):
        await until(lambda: _full(roles))
        await roles.client.delete(roles.job.lane.parts, roles.job.lane.epoch)
        await roles.client.restore(roles.job.lane.cursors, 0, backup, replace=True)
        await roles.client.delete(roles.job.lane.chunks)
        await until(lambda: _full(roles))

        assert (await roles.planned())[:4] == names(8, 9, 10, 11)


async def _full(roles: Roles) -> bool:
    return bool(await roles.client.xlen(roles.job.lane.chunks) >= BACKLOG_CHUNKS)


async def test_nothing_is_missing_of_shards_that_are_planned_after_the_fresh_ones(tmp_path: Path):
    source = folder_source(shards_of(tmp_path, "a", "b"))
    position = Position(shard="b", after="00001.jpg", fresh_only=True)

    assert list(planned(source, position)) == []


async def test_what_was_read_is_let_go_before_it_is_read_anew(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """There may be ten million ids, and no room to have them twice."""
    root = pictures(tmp_path / "in", range(10))
    publish(roles, 0, 1)
    held = list[int]()
    planner = roles.planner(folder_source(root))
    known = FolderWhereabouts.known

    async def reads(self: FolderWhereabouts, *, later: bool, midway: bool) -> Known:
        if not held:  # so the queue has gone back meanwhile
            await roles.client.delete(roles.job.lane.epoch)
        held.append(len(planner._known))
        return await known(self, later=later, midway=midway)

    monkeypatch.setattr(FolderWhereabouts, "known", reads)
    await ends(planner.run())

    assert held == [0, 0]
    assert await roles.planned() == names(*range(2, 10))
