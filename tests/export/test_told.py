"""What no row says is asked of the job's Redis: prompts, stages, who wants to be named."""

import asyncio
from pathlib import Path

import pytest

from caption_flow.config.broadcast import fingerprint
from caption_flow.config.vllm import Stage
from caption_flow.grants import Grant, digest
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.tokens import RedisTokens
from tests.export.command import export, exported, refused
from tests.export.hub_server import WritableHub, hub
from tests.made import LEASE, settings
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
)
from tests.view.parts import numbered, part_name, write_part

__all__ = ["brisk", "hub", "roles"]

REPO = "ann/books"
SYSTEM = "Be brief."
STAGES = (
    Stage(name="describe", model="m/one", prompts=("Say what is there.",), system_prompt=SYSTEM),
    Stage(name="label", model="m/two", prompts=("Give labels.",), output_field="tags"),
)
UNFIT = {
    "--redis": ("redis://127.0.0.1:1", "No answer from 127.0.0.1:1"),
    "--job": ("other", 'no job "other"'),
}

# The hub library's own client asks for it, when it sends a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def where(roles: Roles, redis_url: str, tmp_path: Path) -> tuple[object, ...]:
    """A job of two stages, on its Redis, with parts; the words that name it."""
    write_part(tmp_path / JOB, part_name(0), numbered(0, 40))
    feed = RedisFeedQueue(
        roles.job, name="feeder", stages=["describe", "label"], lease_seconds=LEASE
    )
    await feed.publish(settings(stages=STAGES).encode(), "folder:/pictures")
    for name, hidden in (("ann", False), ("bob", True)):
        await RedisTokens(roles.job).put(Grant(name, "worker", digest(name), anonymous=hidden))
        await RedisContributors(roles.job.connections, JOB).spent(name, 1.0, anonymous=hidden)
    return ("--redis", redis_url, "--job", JOB, "--data-dir", tmp_path)


async def test_stage_that_is_picked_stands_for_the_column_that_it_writes(where: tuple[object, ...]):
    words = ("--pick", "stage label", "--columns", "caption", "-o", "-")
    done = await asyncio.to_thread(exported, *where, *words)

    tags = [row["tags"][0] for row in numbered(0, 40)]
    assert done.out.splitlines() == [f'{{"caption":"{tag}"}}' for tag in tags]


async def test_stage_stands_for_its_column_and_not_for_one_of_its_own_name(
    where: tuple[object, ...],
):
    """The data set may have a column that is called as a stage is."""
    words = ("--pick", "stage licence", "-o", "-")
    done = await asyncio.to_thread(export, *where, *words)

    assert done.code == 2
    assert 'no stage is called "licence"' in done.err


async def test_card_has_the_prompts_and_names_who_wants_to_be(
    where: tuple[object, ...], hub: WritableHub
):
    words = ("--format", "huggingface_hub", "--hf-dataset", REPO)
    await asyncio.to_thread(exported, *where, *words)
    card = hub.tree(REPO)["README.md"].decode()

    for told in ("Say what is there.", "Give labels.", SYSTEM, "ann", "anonymous"):
        assert told in card
    for hidden in ("bob", "cleo"):  # one wants not to be named, of the other nobody knows
        assert hidden not in card


async def test_prompts_stay_here_where_one_wishes(where: tuple[object, ...], hub: WritableHub):
    words = ("--format", "huggingface_hub", "--hf-dataset", REPO, "--no-prompts")
    await asyncio.to_thread(exported, *where, *words)
    card = hub.tree(REPO)["README.md"].decode()

    assert not any(prompt in card for stage in STAGES for prompt in (SYSTEM, *stage.prompts))
    assert all(fingerprint(stage) in card for stage in STAGES)


@pytest.mark.parametrize("option", UNFIT)
async def test_nothing_is_published_where_a_configured_redis_does_not_answer(
    where: tuple[object, ...], hub: WritableHub, tmp_path: Path, option: str
):
    wrong, why = UNFIT[option]
    write_part(tmp_path / "other", part_name(0), numbered(0, 3))
    words = ("--format", "huggingface_hub", "--hf-dataset", REPO)
    said = await asyncio.to_thread(refused, *where, *words, option, wrong, code=1)

    assert why in said
    assert not hub.uploads


async def test_statistics_name_nobody_where_a_redis_does_not_answer(where: tuple[object, ...]):
    words = ("--stats-only", "--redis", "redis://127.0.0.1:1")
    done = await asyncio.to_thread(exported, *where, *words)

    assert "(anonymous: 3)" in done.out
    assert not any(name in done.out.split() for name in ("ann", "bob", "cleo"))


def test_statistics_name_all_where_there_is_no_redis_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / JOB, part_name(0), numbered(0, 40))
    done = exported(JOB, "--stats-only", "--data-dir", tmp_path)

    assert all(name in done.out.split() for name in ("ann", "bob", "cleo"))


def test_a_configured_redis_can_be_left_aside(
    tmp_path: Path, hub: WritableHub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / JOB, part_name(0), numbered(0, 40))
    Path("orchestrator.yaml").write_text("redis: redis://127.0.0.1:1\nengine: simulated\n")
    words = (JOB, "--data-dir", tmp_path, "--format", "huggingface_hub", "--hf-dataset", REPO)
    refused(*words, "--config", "orchestrator.yaml", code=1)

    exported(*words, "--config", "orchestrator.yaml", "--set", "redis=")
    assert "README.md" in hub.tree(REPO)


async def test_statistics_are_told_and_nothing_is_written(where: tuple[object, ...]):
    words = ("--stats-only", "--where", "contributor == 'bob'")
    done = await asyncio.to_thread(exported, *where, *words)
    count = sum(row["contributor"] == "bob" for row in numbered(0, 40))

    assert f"rows               {count}\n" in done.out
    assert "bob" not in done.out
