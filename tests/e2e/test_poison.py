"""Poison: one image that kills engines and some that are none, among ten thousand good ones."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

SAMPLES = 10_000
CORRUPT = range(100, 10_100, 200)  # fifty of them
KILLER = 5_003
PATIENCE = 300.0  # seconds


class Survived(Struct, frozen=True):
    """What became of the job."""

    ended: dict[str, Ended]
    rows: list[dict[str, Any]]
    truth: dict[str, str]  # of the good images
    dead: list[str]  # the sample of each letter
    letters: str


@pytest.fixture(scope="module")
def survived(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Survived:
    desk = shared_desk
    images = draw(desk.folder / "photos", SAMPLES)
    killer = images / f"{KILLER:05d}.jpg"
    for number in CORRUPT:
        spoil(images / f"{number:05d}.jpg")
    given = settings(
        engine="simulated",
        simulated__latency="[0.005, 0.015]",
        simulated__decode="true",
        simulated__dies_of=f"[{hashlib.sha256(killer.read_bytes()).hexdigest()}]",
        vllm__batch_size=32,
    )
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        flags = ("--redis", server.url, "--job", "photos")
        running = {
            "feed": desk.start("feed", images, *flags, *given),
            "first": desk.start("worker", *flags, "--exit-when-done"),
            "second": desk.start("worker", *flags, "--exit-when-done"),
            "sink": desk.start("sink", *flags, "--exit-when-done", *given),
        }
        ended = {role: command.wait(PATIENCE) for role, command in running.items()}
        letters = Job(server.url, "photos").cli("XRANGE", "cf:{photos:0}:dead", "-", "+")
    bad = {f"{number:05d}.jpg" for number in (*CORRUPT, KILLER)}
    truth = {id_: digest for id_, digest in digests(images).items() if id_ not in bad}
    found = rows(desk.folder / "caption_data" / "photos")
    return Survived(ended, found, truth, ids_in(letters), letters)


def spoil(image: Path) -> None:
    """Cut off its end: its header is whole, so that only decoding finds out."""
    image.write_bytes(image.read_bytes()[:-200])


def ids_in(letters: str) -> list[str]:
    """The samples that dead letters are about, as redis-cli prints them."""
    return [part.partition('"')[0] for part in letters.split('"id":"')[1:]]


def test_every_role_ends_well(survived: Survived):
    assert {role: end.code for role, end in survived.ended.items()} == dict.fromkeys(
        survived.ended, 0
    )


def test_each_good_image_is_captioned_once(survived: Survived):
    assert len(survived.rows) == SAMPLES - len(CORRUPT) - 1
    assert said(survived.rows) == sorted(survived.truth.items())


def test_each_bad_image_is_one_dead_letter(survived: Survived):
    assert sorted(survived.dead) == sorted(f"{n:05d}.jpg" for n in (*CORRUPT, KILLER))


def test_the_killer_was_tried_so_often_and_no_more(survived: Survived):
    assert survived.letters.count('"reason":"engine_died"') == 3


def test_neighbours_paid_with_no_attempt(survived: Survived):
    assert {row["attempt"] for row in survived.rows} == {1}
