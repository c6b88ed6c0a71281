"""Three stages of two models on two workers, of which one sees no image, while processes die."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, Running, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows
from tests.redis_server import RedisServer

IMAGES = 1000
DIGITS = 32  # hex digits of a digest in what the simulated engine says
DOCUMENT = {
    "engine": "simulated",
    "lease_seconds": 2,
    "chunk_size": 100,
    "simulated": {"latency": [0.01, 0.03]},
    "budget": {"samples": 200},
    "storage": {"rows_per_part": 200},
    "vllm": {
        "batch_size": 16,
        "stages": [
            {
                "name": "describe",
                "model": "large",
                "prompts": ["Describe {filename}."],
                "output_field": "description",
            },
            {
                "name": "shorten",
                "model": "small",
                "prompts": ["Shorten: {description}"],
                "output_field": "short",
                "requires": ["describe"],
                "image": False,
            },
            {
                "name": "tag",
                "model": "small",
                "prompts": ["Tags of {short}", "Colours of {description}"],
                "output_field": "tags",
                "requires": ["shorten"],
                "image": False,
            },
        ],
    },
}
SEEING = ("--name", "seeing", "--stage", "describe")
BLIND = ("--name", "blind", "--stage", "shorten", "--stage", "tag")


class Done(Struct, frozen=True):
    """A job that was done, and what was counted on the way."""

    images: Path
    rows: list[dict[str, Any]]
    fetched: dict[str, float]  # images, by worker
    counts: dict[str, int]
    ended: list[Ended]
    refused: Ended  # a worker for a stage that the job has not


@pytest.fixture(scope="module")
def done(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A job of three stages in which a worker of each kind and a feeder were killed."""
    desk = shared_desk
    images = draw(desk.folder / "photos", IMAGES)
    document = desk.folder / "stages.yaml"
    document.write_text(json.dumps(DOCUMENT))
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        job = Job(server.url, "photos")
        flags = ("--redis", server.url, "--job", "photos")
        fetched: dict[str, float] = {}

        def feed() -> Running:
            return desk.start("feed", images, *flags, "--config", document)

        def look(*live: Running, since: float = 0.0) -> bool:
            """Note what workers count; whether each of these has said so since then."""
            workers = [m for m in job.members().values() if m["role"] == "worker"]
            fetched.update({m["name"]: m["figures"]["images"] for m in workers})
            seen = {m["pid"]: m["seen"] for m in workers}
            return all(seen[running.pid] > since for running in live)

        feeder, seeing = feed(), desk.start("worker", *flags, *SEEING)
        blind = desk.start("worker", *flags, *BLIND)
        sink = desk.start("sink", *flags, "--config", document, "--exit-when-done")
        job.wait_for("completed", 150)
        seeing.kill()
        seeing = desk.start("worker", *flags, *SEEING)
        job.wait_for("completed", 350)
        look()
        blind.kill()
        blind = desk.start("worker", *flags, *BLIND)
        feeder.kill()
        feeder = feed()
        job.wait_for("captioned", IMAGES)
        over = time.time()
        wait_until(lambda: look(seeing, blind, since=over), "the last words of both workers")
        refused = desk.run("worker", *flags, "--stage", "shortn")
        ended = [feeder.wait(), sink.wait(), seeing.terminate(), blind.terminate()]
        found = rows(desk.folder / "caption_data" / "photos")
        yield Done(images, found, fetched, job.counts(), ended, refused)


def said(kind: str, what: str, text: str) -> bool:
    """Whether a simulated text of this kind was made from what has this digest."""
    return text.split()[:3] == ["simulated", kind, what[:DIGITS]]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_process_that_was_left_ends_well(done: Done):
    assert [end.code for end in done.ended] == [0, 0, 0, 0], done.ended


def test_each_sample_has_one_row(done: Done):
    assert sorted(row["id"] for row in done.rows) == sorted(digests(done.images))


def test_each_row_has_all_fields_made_from_the_right_things(done: Done):
    of_image = digests(done.images)
    for row in done.rows:
        [description], [short] = row["description"], row["short"]
        tags, colours = row["tags"]
        assert said("caption", of_image[row["id"]], description)
        assert said("text", digest(f"Shorten: {description}"), short)
        assert said("text", digest(f"Tags of {short}"), tags)
        assert said("text", digest(f"Colours of {description}"), colours)


def test_the_books_balance(done: Done):
    counts = done.counts
    assert [counts[name] for name in ("planned", "offered", "completed", "captioned")] == [
        IMAGES
    ] * 4
    assert counts.get("dead", 0) == counts["bytes_in_flight"] == 0


def test_no_image_is_fetched_by_workers_whose_stages_see_none(done: Done):
    blind = {name: images for name, images in done.fetched.items() if "-blind-" in name}
    seeing = {name: images for name, images in done.fetched.items() if "-seeing-" in name}

    assert len(blind) == 2
    assert sum(blind.values()) == 0
    assert sum(seeing.values()) > 0


def test_a_stage_that_the_job_has_not_is_refused_with_the_nearest(done: Done):
    assert done.refused.code == 2
    assert 'the job has no stage "shortn"; did you mean "shorten"?' in done.refused.err
