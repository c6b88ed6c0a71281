"""Lanes on the command line: what serves them all, and what says that it does not yet."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from caption_flow.cli.main import cli
from caption_flow.queue.connect import connect
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.job import RedisJob
from tests.made import settings


@pytest.fixture
def laned(redis_url: str) -> str:
    """A Redis with a job of three lanes."""

    async def publish() -> None:
        async with connect(redis_url, role="test") as connections:
            job = RedisJob(connections, "laned")
            queue = RedisFeedQueue(job, name="feed", stages=["caption"], lease_seconds=9)
            await queue.publish(settings(lanes=3).encode(), "folder:photos")

    asyncio.run(publish())
    return redis_url


def told(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--job", "laned"])


def test_status_and_dead_letters_are_those_of_all_lanes(laned: str):
    status = told("status", "--redis", laned, "--json")
    letters = told("dead", "list", "--redis", laned)

    assert (status.exit_code, letters.exit_code) == (0, 0), (status.output, letters.output)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("scan_chunks",), '"caption-flow scan_chunks"'),
        (("proxy", "--port", "0", "--no-ssl"), "a proxy"),
    ],
)
def test_what_does_not_know_of_lanes_refuses_them(laned: str, words: tuple[str, ...], what: str):
    refused = told(*words, "--redis", laned)

    assert f'The job "laned" has 3 lanes, and {what} does not know of lanes yet.' in str(
        refused.exception
    )


def test_feeder_with_another_number_of_lanes_is_refused(laned: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()

    refused = told("feed", "photos", "--redis", laned, "--set", "engine=simulated")

    assert 'lanes is 1, but the job "laned" has 3, which never changes.' in str(refused.exception)


def test_orchestrator_with_a_proxy_refuses_lanes(laned: str):
    words = ("orchestrator", "--redis", laned, "--port", "0", "--no-ssl")

    refused = told(*words, "--set", "lanes=3", "--set", "dataset.dataset_path=photos")

    assert "lanes is 3, and a proxy does not know of lanes yet." in str(refused.exception)
