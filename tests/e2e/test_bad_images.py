"""One bad image harms no other: a folder with everything that a data set may hold."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.jobs import Job
from tests.e2e.pictures import draw, rows
from tests.image.zoo import ZOO, Case
from tests.redis_server import RedisServer

GOOD = 30
# None is shrunk, so that each is decoded as it is.
DECODING = settings(engine="simulated", simulated__decode="true", images__max_side="null")
REFUSED = [case for case in ZOO if not case.ok]
TAKEN = [case for case in ZOO if case.ok]


class Fed(Struct, frozen=True):
    """What became of the zoo."""

    rows: dict[str, dict[str, Any]]
    letters: list[dict[str, Any]]  # each with its sample and why
    job: Job
    ended: list[Ended]


@pytest.fixture(scope="module")
def zoo(shared_desk: Desk) -> Path:
    """Every kind of file, and good ones between them."""
    folder = draw(shared_desk.folder / "zoo", GOOD)
    for case in ZOO:
        (folder / case.file_name).write_bytes(case.data())
    return folder


@pytest.fixture(scope="module")
def fed(shared_desk: Desk, zoo: Path, redis_server: RedisServer) -> Fed:
    """The zoo, fed and captioned by an engine that wants pixels."""
    desk = shared_desk
    redis_server.cli("FLUSHALL")
    flags = ("--redis", redis_server.url, "--job", "zoo")
    started = [
        desk.start("feed", zoo, *flags, *DECODING),
        desk.start("worker", *flags, "--exit-when-done"),
        desk.start("sink", *flags, "--exit-when-done", *DECODING),
    ]
    ended = [running.wait() for running in started]
    job = Job(redis_server.url, "zoo")
    lines = job.cli("XRANGE", job.key("dead"), "-", "+").splitlines()
    found = rows(desk.folder / "caption_data" / "zoo")
    return Fed({row["id"]: row for row in found}, letters(lines), job, ended)


def letters(lines: list[str]) -> list[dict[str, Any]]:
    """Read dead letters off what redis-cli prints."""
    values = {"sample": [], "why": []}
    for name, value in pairwise(lines):
        if name in values:
            values[name].append(json.loads(value))
    return [
        {"sample": sample, "why": why}
        for sample, why in zip(values["sample"], values["why"], strict=True)
    ]


def of(fed: Fed, case: Case) -> list[dict[str, Any]]:
    return [letter for letter in fed.letters if letter["sample"]["id"] == case.file_name]


def test_every_role_ends_well(fed: Fed):
    assert [end.code for end in fed.ended] == [0, 0, 0], fed.ended


def test_no_good_image_is_harmed(fed: Fed):
    assert [n for n in range(GOOD) if f"{n:05d}.jpg" not in fed.rows] == []


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.name)
def test_image_that_can_be_captioned_is_and_stands_upright(fed: Fed, case: Case):
    row = fed.rows[case.file_name]

    assert (row["width"], row["height"]) == case.size


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_image_that_cannot_be_captioned_is_one_dead_letter_with_its_reason(fed: Fed, case: Case):
    [letter] = of(fed, case)

    assert case.file_name not in fed.rows
    assert letter["why"]["reason"] == case.reason
    assert letter["why"]["detail"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_bad_image_is_found_as_early_as_can_be(fed: Fed, case: Case):
    [letter] = of(fed, case)

    assert ("worker" if letter["why"].get("stage") else "feeder") == case.found_by


def test_books_balance(fed: Fed):
    counts = fed.job.counts()

    assert counts["planned"] == counts["offered"] == len(ZOO) + GOOD
    assert counts["captioned"] == counts["completed"] == len(fed.rows) == len(TAKEN) + GOOD
    assert counts["dead"] == len(fed.letters) == len(REFUSED)
    assert counts["bytes_in_flight"] == 0


def test_nothing_is_left_in_flight(fed: Fed):
    assert set(fed.job.lengths().values()) == {0}


def test_run_shows_dead_letters_at_its_end(desk: Desk, zoo: Path):
    done = desk.run("run", zoo, *DECODING)

    shown = [line for line in done.out.splitlines() if line.startswith("  given up: ")]
    reasons = {f"{case.file_name}: {case.reason}, " for case in REFUSED}
    assert done.code == 0, done.words
    assert len(shown) == 5
    assert all(line.removeprefix("  given up: ").startswith(tuple(reasons)) for line in shown)
    assert f"{len(TAKEN) + GOOD} captions" in done.out
    assert f"{len(REFUSED)} dead letters" in done.out
