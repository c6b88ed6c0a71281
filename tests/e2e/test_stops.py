"""A role that is stopped hands its work on at once; one that is killed loses and doubles none."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

HAND_BACK = 1.0  # seconds until samples of a stopped worker are another's
LEASE = 3.0  # seconds
TAKE_OVER = LEASE + 1.0  # seconds until samples of a killed worker are another's
SLOTS = 4  # samples that the stopped worker has begun, and finishes
STREAM_OF = {"worker": "samples:caption", "sink": "captions", "feed": "chunks"}
# Small chunks, parts and budget, so that whoever is killed holds a piece of the whole.
KILLING: dict[str, object] = {
    "simulated__latency": "[0.05, 0.1]",
    "vllm__batch_size": 8,
    "lease_seconds": 2,
    "chunk_size": 30,
    "budget__samples": 90,
    "storage__rows_per_part": 40,
}


class Shop:
    """A job of one of each role, each of which can be started again."""

    def __init__(self, desk: Desk, url: str, count: int, **given: object) -> None:
        self.desk = desk
        self.job = Job(url, "j")
        self.images = draw(desk.folder / "photos", count)
        self._flags = ("--redis", url, "--job", "j")
        self._given = settings(engine="simulated", **given)

    def start(self, role: str, *more: object) -> Running:
        match role:
            case "feed":
                return self.desk.start("feed", self.images, *self._flags, *self._given)
            case "worker":
                return self.desk.start("worker", *self._flags, "--exit-when-done", *more)
            case _:
                return self.desk.start("sink", *self._flags, "--exit-when-done", *self._given)

    def holds(self, name: str, stream: str = "samples:caption") -> int:
        """Entries that a consumer holds, by a part of its name."""
        return sum(n for holder, n in self.job.pending(stream).items() if name in holder)

    @property
    def parts(self) -> Path:
        return self.desk.folder / "caption_data" / "j"


def test_samples_of_a_stopped_worker_are_with_another_within_a_second(
    desk: Desk, redis_url: str, record_property: Callable[[str, object], None]
):
    """And no attempt is counted, since nobody attempted them."""
    shop = Shop(desk, redis_url, 20, simulated__latency="[2, 2]")
    shop.start("feed").wait()
    leaving = shop.start("worker", "--name", "leaving", "--batch-size", SLOTS)
    wait_until(lambda: shop.holds("leaving") == 20, "a worker that holds all samples")
    staying = shop.start("worker", "--name", "staying", "--batch-size", 32)
    wait_until(lambda: "Captioning with" in staying.err, "another worker")

    begun = time.monotonic()
    leaving.signal(signal.SIGTERM)
    wait_until(lambda: shop.holds("leaving") <= SLOTS, "samples to be handed back", every=0.01)
    taken = lambda: shop.holds("returned") == 0 < shop.holds("staying")  # noqa: E731 - asked again and again
    wait_until(taken, "them to be taken", every=0.01)
    seconds = time.monotonic() - begun
    ended = [running.wait() for running in (leaving, staying, shop.start("sink"))]

    record_property("hand_back_seconds", round(seconds, 2))
    assert [end.code for end in ended] == [0, 0, 0]
    assert said(rows(shop.parts)) == sorted(digests(shop.images).items())
    assert {row["attempt"] for row in rows(shop.parts)} == {1}
    assert seconds < HAND_BACK


def test_samples_of_a_killed_worker_are_with_another_a_second_after_their_lease(
    desk: Desk, redis_url: str, record_property: Callable[[str, object], None]
):
    shop = Shop(desk, redis_url, 40, simulated__latency="[2, 2]", lease_seconds=LEASE)
    shop.start("feed").wait()
    doomed = shop.start("worker", "--name", "doomed", "--batch-size", SLOTS)
    wait_until(lambda: shop.holds("doomed") == 20, "a worker with its hands full")
    staying = shop.start("worker", "--name", "staying", "--batch-size", 32)
    wait_until(lambda: shop.holds("staying") == 20, "another worker with the rest")

    doomed.kill()
    begun = time.monotonic()
    wait_until(lambda: shop.holds("doomed") == 0, "them to be taken over", every=0.01)
    seconds = time.monotonic() - begun
    ended = [running.wait() for running in (staying, shop.start("sink"))]

    record_property("take_over_seconds", round(seconds, 2))
    assert [end.code for end in ended] == [0, 0]
    assert said(rows(shop.parts)) == sorted(digests(shop.images).items())
    assert seconds < TAKE_OVER


@pytest.mark.parametrize("victim", STREAM_OF)
def test_killed_role_that_is_started_again_loses_and_doubles_nothing(
    desk: Desk, redis_url: str, victim: str, record_property: Callable[[str, object], None]
):
    shop = Shop(desk, redis_url, 300, **KILLING)
    running = {role: shop.start(role) for role in STREAM_OF}
    shop.job.wait_for("completed", 60)
    wait_until(lambda: shop.holds(victim, STREAM_OF[victim]), f"a {victim} that holds something")

    running[victim].kill()
    held = shop.holds(victim, STREAM_OF[victim])
    begun = time.monotonic()
    [left] = [name for name in shop.job.pending(STREAM_OF[victim]) if f"-{victim}-" in name]
    running[victim] = shop.start(victim)
    wait_until(lambda: left not in shop.job.pending(STREAM_OF[victim]), "its work to move on")
    record_property("taken_over_seconds", round(time.monotonic() - begun, 2))
    ended = {role: command.wait().code for role, command in running.items()}

    assert held > 0
    assert ended == dict.fromkeys(STREAM_OF, 0)
    assert said(rows(shop.parts)) == sorted(digests(shop.images).items())
    assert list(shop.parts.glob(".part-*")) == []
    assert set(shop.job.lengths().values()) == {0}
    assert shop.job.count("captioned") == shop.job.count("planned") == 300


def test_killed_redis_that_is_started_again_loses_and_doubles_nothing(
    desk: Desk, own_server: RedisServer
):
    """It forgets what it had not synced yet; the roles go on by themselves."""
    shop = Shop(desk, own_server.url, 300, **KILLING)
    running = [shop.start(role) for role in STREAM_OF]
    shop.job.wait_for("captioned", 80)

    own_server.kill()
    own_server.start()

    assert [command.wait().code for command in running] == [0, 0, 0]
    assert said(rows(shop.parts)) == sorted(digests(shop.images).items())
    assert list(shop.parts.glob(".part-*")) == []
