"""What limits a job, told of real processes that are arranged so that one thing does.

All jobs run at once, on one Redis: all but one of them mostly wait.
"""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from caption_flow.monitor.limits import Limit, limit
from caption_flow.queue.connect import connect
from caption_flow.queue.inspect import RedisInspector
from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.pictures import draw
from tests.redis_server import RedisServer

STEADY = 5  # looks in a row at which it must be told, half a second apart
PLENTY = 5000  # images that no job here comes to the end of


class Jobs:
    """Jobs on one Redis, each with a name of its own."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk = desk
        self.url = url
        self.few = draw(desk.folder / "few", 10)
        self.many = _many(desk.folder / "many", self.few)

    def start(self, job: str, role: str, *words: object) -> Running:
        return self.desk.start(role, *words, "--redis", self.url, "--job", job)

    def feed(self, job: str, images: Path, **values: object) -> Running:
        each = {"engine": "simulated", "chunk_size": 50} | values
        return self.start(job, "feed", images, *settings(**each))

    def limit(self, job: str) -> Limit:
        """What limits it now."""
        return asyncio.run(self._limit(job))

    async def _limit(self, job: str) -> Limit:
        async with connect(self.url, role="test") as connections:
            return limit(await RedisInspector(connections, job).snapshot())

    def wait_for(self, job: str, kind: str, saying: str) -> Limit:
        """Wait until it is told again and again, in these words, that this limits a job."""
        looks: list[Limit] = []

        def steady() -> bool:
            time.sleep(0.5)
            looks.append(self.limit(job))
            right = [look.kind == kind and saying in look.sentence for look in looks[-STEADY:]]
            return right == [True] * STEADY

        try:
            wait_until(steady, f"{saying!r}, of {job}")
        except AssertionError as exc:
            exc.add_note("\n".join(f"{look.sentence} {look.figures}" for look in looks[-20:]))
            raise
        return looks[-1]


def _many(folder: Path, few: Path) -> Path:
    """Copies of few images under many names, in no time."""
    folder.mkdir()
    files = sorted(few.iterdir())
    for number in range(PLENTY):
        (folder / f"{number:05d}.jpg").hardlink_to(files[number % len(files)])
    return folder


def _large(folder: Path) -> Path:
    """Images that take a feeder long to make small."""
    folder.mkdir()
    Image.linear_gradient("L").resize((5000, 5000)).convert("RGB").save(folder / "0.jpg")
    for number in range(1, PLENTY):
        (folder / f"{number}.jpg").hardlink_to(folder / "0.jpg")
    return folder


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """All of the jobs, begun."""
    folder = tmp_path_factory.mktemp("limits")
    with (
        RedisServer(folder / "redis") as server,
        Desk(folder / "desk") as desk,
    ):
        jobs = Jobs(desk, server.url)
        _arrange(jobs)
        yield jobs


def _arrange(jobs: Jobs) -> None:
    quick, slow = "[0.01, 0.02]", "[1.0, 1.5]"
    large = _large(jobs.desk.folder / "large")
    jobs.feed("slow-feeder", large, simulated__latency=quick, images__max_side=256)
    jobs.feed("slow-engine", jobs.many, simulated__latency=slow)
    jobs.feed("no-worker", jobs.many)
    jobs.feed("stopped-sink", jobs.many, simulated__latency=quick, budget__samples=100)
    jobs.feed("small-budget", jobs.many, simulated__latency="[0.4, 0.6]", budget__samples=16)
    jobs.feed("small", jobs.few)
    for job in ("slow-feeder", "slow-engine", "stopped-sink", "small-budget", "small"):
        jobs.start(job, "worker", "--batch-size", 64 if job == "small-budget" else 8)
    for job in ("slow-feeder", "slow-engine", "no-worker", "small"):
        jobs.start(job, "sink")
    jobs.start("small-budget", "sink", "--set", "budget.samples=16")


def test_feeding_limits_where_a_feeder_is_slow(jobs: Jobs):
    found = jobs.wait_for("slow-feeder", "feeding", "engines have free slots and wait for samples")

    assert found.figures["free_lately"] > 0.5


def test_engines_limit_where_they_are_slow(jobs: Jobs):
    found = jobs.wait_for("slow-engine", "engine", "The engines: their slots are full")

    assert found.figures["slots"] == 8
    assert found.figures["free_lately"] < 0.2


def test_workers_limit_where_there_are_none(jobs: Jobs):
    assert jobs.wait_for("no-worker", "workers", "No worker runs, and ").figures["waiting"] > 0


def test_sink_limits_where_none_runs_and_where_it_stands_still(jobs: Jobs):
    jobs.wait_for("stopped-sink", "sink", "No sink runs, and ")
    sink = jobs.start("stopped-sink", "sink", "--set", "budget.samples=100")
    wait_until(lambda: jobs.limit("stopped-sink").kind != "sink", "a sink that writes")
    sink.signal(signal.SIGSTOP)

    jobs.wait_for("stopped-sink", "sink", "captions wait for them and fill the budget")
    jobs.wait_for("stopped-sink", "sink", "No sink was heard of for 20 s, and ")


def test_budget_limits_where_it_is_smaller_than_what_engines_take(jobs: Jobs):
    words = "of 16 samples (budget.samples) are in flight, and engines have free slots"
    found = jobs.wait_for("small-budget", "budget", words)

    assert found.figures["free_lately"] > 0.5


def test_nothing_limits_a_job_that_is_done(jobs: Jobs):
    jobs.wait_for("small", "done", "Nothing: every sample is in a part or a dead letter.")
