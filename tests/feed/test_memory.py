"""Memory: a feeder goes by the settings that the job has, and brings them back when forgotten."""

import pytest
from msgspec.structs import replace

from caption_flow.config.broadcast import Broadcast
from caption_flow.feed.memory import SettingsMemory, bring
from caption_flow.feed.whereabouts import FolderWhereabouts
from caption_flow.queue.feed import APART, RedisFeedQueue
from caption_flow.queue.ports import Settings
from tests.dataset.test_versions import publish
from tests.made import settings
from tests.roles import Roles, until

OURS = settings()
THEIRS = settings(prompts=("Else?",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caption_flow.feed.memory.LOOK_SECONDS", 0.01)


async def memory_of(roles: Roles, queue: RedisFeedQueue) -> SettingsMemory:
    return await bring(queue, OURS, "pictures", FolderWhereabouts(queue, roles.folder))


async def brought(roles: Roles) -> SettingsMemory:
    return await memory_of(roles, roles.feed_queue())


async def reload(roles: Roles, told: Broadcast) -> int:
    before = await roles.job.settings()
    assert before is not None
    stages = [stage.name for stage in told.stages]
    made = await roles.job.reload(told.encode(), stages, instead_of=before.version, by="me")
    assert made is not None
    return made


async def test_first_feeder_of_a_job_publishes(roles: Roles):
    await brought(roles)

    told = await roles.job.settings()
    assert told is not None
    assert (told.version, told.document) == (1, OURS.encode())


async def test_first_version_is_after_those_of_the_rows(roles: Roles):
    """Redis may have lost the settings, and the rows carry its versions."""
    publish(roles.folder, 1, 6)

    await brought(roles)

    told = await roles.job.settings()
    assert told is not None
    assert told.version == 7


async def test_settings_that_are_kept_are_told_with_what_differs(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await brought(roles)
    await reload(roles, THEIRS)

    await brought(roles)

    [line] = [r.getMessage() for r in caplog.records if "keeps its settings" in r.getMessage()]
    assert "version 2, from me" in line
    assert "stages[caption].prompts" in line
    assert "reload_config" in line


async def test_newest_settings_come_back_after_a_flush_and_under_a_new_version(roles: Roles):
    async with await brought(roles) as memory:
        version = await reload(roles, THEIRS)
        await until(lambda: memory._seen.version == version)
        await roles.client.flushall()

        await until(roles.job.settings_mark)

    assert await roles.job.settings() == Settings(version + APART, THEIRS.encode(), "me")


async def test_settings_of_the_same_version_that_came_after_a_flush_are_taken(roles: Roles):
    async with await brought(roles) as memory:
        await roles.client.flushall()
        await roles.feed_queue().publish(THEIRS.encode(), "pictures")

        await until(lambda: memory._seen.document == THEIRS.encode())


async def test_settings_that_a_crash_has_taken_back_come_back(roles: Roles):
    async with await brought(roles) as memory:
        before = await roles.client.hgetall(roles.job.keys.settings)
        version = await reload(roles, THEIRS)
        await until(lambda: memory._seen.version == version)
        await roles.client.hset(roles.job.keys.settings, mapping=before)

        await until(lambda: memory._seen.version > version)

    told = await roles.job.settings()
    assert told is not None
    assert told.document == THEIRS.encode()


async def test_running_feeder_offers_to_the_first_stage_that_the_job_has_now(roles: Roles):
    first = replace(OURS.stages[0], name="look")
    queue = roles.feed_queue()
    async with await memory_of(roles, queue) as memory:
        version = await reload(roles, settings(stages=(first,)))
        await until(lambda: memory._seen.version == version)

    assert queue._samples == roles.job.lane.samples("look")
