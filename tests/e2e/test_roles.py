"""The roles apart, as on several machines: one Redis, feed, two workers and a sink."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, settings, wait_until
from tests.e2e.jobs import GROUPS, Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

IMAGES = 2000
BALANCE = """
local counts = redis.call('HMGET', KEYS[1], 'offered', 'captioned')
return {
  counts[1], counts[2] or 0,
  redis.call('XLEN', KEYS[2]), redis.call('XLEN', KEYS[3]), redis.call('XLEN', KEYS[4]),
}
"""


class Told(Struct, frozen=True):
    """What redis-cli told in the middle of the job."""

    streams: dict[str, str]  # XINFO STREAM
    groups: dict[str, str]  # XINFO GROUPS
    consumers: dict[str, str]  # XINFO CONSUMERS
    counts: dict[str, int]
    balance: str


class Done(Struct, frozen=True):
    """A job that was done, and what was seen of it on the way."""

    images: Path
    rows: list[dict[str, Any]]
    told: Told
    ended: dict[str, Ended]
    job: Job  # as it was left


def tell(job: Job) -> Told:
    grouped = tuple(GROUPS)
    return Told(
        {name: job.cli("XINFO", "STREAM", job.key(name)) for name in (*grouped, "images")},
        {name: job.cli("XINFO", "GROUPS", job.key(name)) for name in grouped},
        {name: job.cli("XINFO", "CONSUMERS", job.key(name), GROUPS[name]) for name in grouped},
        job.counts(),
        job.cli(
            "EVAL", BALANCE, 4, *map(job.key, ("counts", "samples:caption", "images", "captions"))
        ),
    )


@pytest.fixture(scope="module")
def done(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A job of 2,000 images done by one feeder, two workers and a sink."""
    desk = shared_desk
    images = draw(desk.folder / "photos", IMAGES)
    given = settings(
        engine="simulated",
        simulated__latency="[0.02, 0.06]",
        vllm__batch_size=16,
        chunk_size=100,
        budget__samples=400,
        storage__rows_per_part=200,
    )
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        job = Job(server.url, "photos")
        flags = ("--redis", server.url, "--job", "photos")
        started = {
            name: desk.start("worker", *flags, "--name", name, "--exit-when-done")
            for name in ("first", "second")
        }
        for worker in started.values():
            wait_until(lambda w=worker: "Waiting for a job" in w.err, "a worker that waits")
        started["sink"] = desk.start("sink", *flags, "--exit-when-done", *given)
        started["feed"] = desk.start("feed", images, *flags, *given)
        wait_until(lambda: all(job.held_by("samples:caption", w) for w in ("first", "second")), "")
        job.wait_for("completed", IMAGES // 4)
        told = tell(job)
        ended = {name: running.wait() for name, running in started.items()}
        found = rows(desk.folder / "caption_data" / "photos")
        yield Done(images, found, told, ended, job)


def test_every_role_ends_well(done: Done):
    assert {name: end.code for name, end in done.ended.items()} == {
        "feed": 0,
        "first": 0,
        "second": 0,
        "sink": 0,
    }


def test_every_image_has_one_caption_and_it_is_its_own(done: Done):
    assert said(done.rows) == sorted(digests(done.images).items())


def test_both_workers_took_part(done: Done):
    workers = [row["worker"] for row in done.rows]

    assert all(sum(f"-{name}-" in worker for worker in workers) for name in ("first", "second"))


def test_each_caption_is_a_first_attempt(done: Done):
    assert {row["attempt"] for row in done.rows} == {1}


def test_rows_say_that_no_model_made_them(done: Done):
    assert {row["engine"] for row in done.rows} == {"simulated"}


def test_each_role_ends_with_one_line_on_what_it_did(done: Done):
    said_by = {name: end.out.strip() for name, end in done.ended.items()}
    shares = [int(said_by[w].split()[1].replace(",", "")) for w in ("first", "second")]

    assert said_by["feed"].startswith("Fed 2,000 samples (")
    assert said_by["feed"].endswith("skipped 0 known; gave up 0.")
    assert said_by["sink"] == "Wrote 2,000 captions to caption_data/photos."
    assert sum(shares) == IMAGES


def test_xinfo_streams_show_entries_in_flight(done: Done):
    lengths = {name: int(answer.splitlines()[1]) for name, answer in done.told.streams.items()}

    assert lengths["samples:caption"] > 0
    assert lengths["images"] > 0
    assert lengths["chunks"] > 0


@pytest.mark.parametrize("stream", GROUPS)
def test_xinfo_groups_shows_the_group_of_each_stream(done: Done, stream: str):
    answer = fields(done.told.groups[stream])

    assert answer["name"] == GROUPS[stream]
    assert int(answer["consumers"]) >= 1


def test_xinfo_groups_shows_what_the_workers_hold(done: Done):
    assert int(fields(done.told.groups["samples:caption"])["pending"]) > 0


@pytest.mark.parametrize(
    ("stream", "labels"),
    [("chunks", ["feed"]), ("samples:caption", ["first", "second"]), ("captions", ["sink"])],
)
def test_xinfo_consumers_shows_who_is_at_work(done: Done, stream: str, labels: list[str]):
    answer = done.told.consumers[stream]

    assert [label for label in labels if f"-{label}-" not in answer] == []


def test_books_balance_in_the_middle(done: Done):
    """What the counts call in flight are the entries of the two streams, read in one step."""
    offered, captioned, samples, images, captions = map(int, done.told.balance.splitlines())

    assert offered - captioned == samples + captions
    assert samples == images


def test_budget_bounds_what_is_in_flight(done: Done):
    counts = done.told.counts

    assert counts["offered"] - counts.get("captioned", 0) <= 400


def test_books_say_that_all_is_captioned(done: Done):
    counts = done.job.counts()

    assert counts["planned"] == counts["offered"] == counts["completed"] == IMAGES
    assert counts["captioned"] == IMAGES
    assert counts["plan_done"] == 1


def test_no_stream_has_an_entry_left(done: Done):
    assert set(done.job.lengths().values()) == {0}


def test_no_byte_is_left_in_flight(done: Done):
    assert done.job.counts()["bytes_in_flight"] == 0


def test_all_members_have_said_goodbye(done: Done):
    assert done.job.members() == {}


def test_no_consumer_is_left_behind(done: Done):
    answers = {
        name: done.job.cli("XINFO", "CONSUMERS", done.job.key(name), group)
        for name, group in GROUPS.items()
    }

    assert set(answers.values()) == {""}


def fields(answer: str) -> dict[str, str]:
    """Read what redis-cli prints of one group."""
    lines = answer.splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=False))


def test_two_feeders_share_a_source(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 400)
    given = settings(
        engine="simulated",
        simulated__latency="[0.01, 0.02]",
        vllm__batch_size=16,
        chunk_size=25,
        budget__samples=100,
        storage__rows_per_part=50,
    )
    flags = ("--redis", redis_url, "--job", "j")
    feeders = [desk.start("feed", images, *flags, *given) for _ in range(2)]
    others = [
        desk.start("worker", *flags, "--exit-when-done"),
        desk.start("sink", *flags, "--exit-when-done", *given),
    ]

    shares = [int(feeder.wait().out.split()[1]) for feeder in feeders]

    assert [other.wait().code for other in others] == [0, 0]
    assert said(rows(desk.folder / "caption_data" / "j")) == sorted(digests(images).items())
    assert sum(shares) == 400
    assert all(shares)
