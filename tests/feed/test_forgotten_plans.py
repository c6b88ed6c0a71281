"""Planner: what is captioned is not planned again by who forgot it, or began before that."""

from pathlib import Path

import pytest

from caption_flow.feed.planner import BACKLOG_CHUNKS
from caption_flow.queue import keys
from tests.feed.planning import names, plan_a_part, publish, settle, standing_planner, waiting
from tests.made import folder_source, pictures
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)


async def test_with_redis_emptied_only_what_no_part_holds_is_planned(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(10))
    publish(roles, 1, 2)
    publish(roles, 7)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(0, 3, 4, 5, 6, 8, 9)


async def test_a_planner_whose_plan_is_forgotten_begins_again_without_what_parts_hold(
    roles: Roles, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    root = pictures(tmp_path / "in", range(200))
    planner = roles.planner(folder_source(root), chunk_size=2)
    async with running(planner.run()):
        await until(lambda: waiting(roles, BACKLOG_CHUNKS))
        publish(roles, 0, 3)
        await roles.client.flushall()
        await until(lambda: waiting(roles, BACKLOG_CHUNKS))

        assert (await roles.planned())[:4] == names(1, 2, 4, 5)
        assert await roles.job.settings() is not None
    assert "has forgotten this job" in caplog.text


@pytest.mark.parametrize("flushed", [False, True], ids=["earlier generation", "before a flush"])
async def test_a_planner_from_before_knows_what_was_captioned_since(
    roles: Roles, tmp_path: Path, *, flushed: bool
):
    """After a flush both plans are the first, by their number."""
    root = pictures(tmp_path / "in", range(10))
    async with standing_planner(roles, root) as go_on:
        await settle(roles, folder_source(root))
        if flushed:
            await roles.client.flushall()
        pictures(root, [11])
        await plan_a_part(roles, root, 4)
        go_on.set()

    assert await roles.planned() == names(11)


async def test_a_planner_that_was_beaten_by_a_flush_knows_what_was_captioned_since(
    roles: Roles, tmp_path: Path
):
    """It planned nothing before the flush, and finds the queue as empty as it was then."""
    root = pictures(tmp_path / "in", range(10))
    async with standing_planner(roles, root) as go_on:
        await settle(roles, folder_source(root))
        await roles.client.flushall()
        go_on.set()

    assert await roles.planned() == []


async def test_a_job_forgotten_before_its_first_chunk_is_introduced_again(
    roles: Roles, tmp_path: Path
):
    """Else whoever starts later waits for a job for ever, while there are chunks."""
    root = pictures(tmp_path / "in", range(10))
    async with standing_planner(roles, root) as go_on:
        await roles.client.flushall()
        go_on.set()

    assert await roles.planned() == names(*range(10))
    assert await roles.job.settings() is not None
    assert await roles.client.smembers(keys.JOBS) == {roles.job.job.encode()}


async def test_a_plan_that_another_began_and_left_is_introduced(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(10))
    await plan_a_part(roles, root, 4)
    await roles.client.delete(roles.job.keys.settings, keys.JOBS)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.job.settings() is not None
