"""The real vLLM in several stages, two models on two workers: the one that sees no image is
killed, and the engine of the other dies, and hangs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tokenizers import Tokenizer

from tests.e2e.desk import Desk, Ended, Running, wait_until
from tests.e2e.engines import hurt_engine
from tests.e2e.jobs import Job
from tests.e2e.pictures import rows
from tests.e2e.runs import processes_in
from tests.e2e.shapes import (
    LOADING,
    ONE_PROCESS,
    ROOT,
    SHAPES,
    draw_shapes,
    hand_over,
    means,
    wait_for_engine,
)
from tests.redis_server import RedisServer

__all__ = ["means"]
pytestmark = pytest.mark.vllm

DRAWN = 450
SEED = 550_917  # of images that no training has seen
SILENCE = 5.0  # seconds without a token after which an engine is dead
ENGINE = {"max_model_len": 512, "gpu_memory_utilization": 0.1, "enforce_eager": True}
SHORTEN, TAG = "Shorten: {description}", "Tags of {short}"
GREEDY = {"temperature": 0, "max_tokens": 32}
# What a model of random weights says has no end.
BRIEF = {"temperature": 0, "max_tokens": 8}


def staged(talking: Path) -> dict[str, Any]:
    """The document of three stages, of which two have a model that takes no images."""
    told = {"model": str(talking), "image": False, "sampling": BRIEF, **ONE_PROCESS}
    return {
        "lease_seconds": 3,
        "engine_timeout": SILENCE,
        "chunk_size": 100,
        "storage": {"rows_per_part": 250, "seconds_per_part": 3},
        "vllm": {
            "batch_size": 16,
            **ENGINE,
            "stages": [
                {
                    "name": "describe",
                    "model": str(SHAPES / "model"),
                    "prompts": ["Describe the image."],
                    "output_field": "description",
                    "sampling": GREEDY,
                },
                {
                    "name": "shorten",
                    "prompts": [SHORTEN],
                    "output_field": "short",
                    "requires": ["describe"],
                    **told,
                },
                {
                    "name": "tag",
                    "prompts": [TAG],
                    "output_field": "tags",
                    "requires": ["shorten"],
                    **told,
                },
            ],
        },
    }


class Done(Struct, frozen=True):
    """A job of three stages, and what was counted on the way."""

    rows: list[dict[str, Any]]
    truth: dict[str, str]
    fetched: dict[str, float]  # images, by worker
    counts: dict[str, int]
    said: str  # by the worker whose engines had accidents
    ended: list[Ended]


@pytest.fixture(scope="module")
def done(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A job in which one worker was killed, and the other's engine was killed and hung."""
    desk, drawn, images = shared_desk, shared_desk.folder / "drawn", shared_desk.folder / "images"
    make = [sys.executable, "-m", "tests.shapes.blind", desk.folder / "talking"]
    making = subprocess.Popen(make, cwd=ROOT)  # torch takes its time, and marks its process
    truth = draw_shapes(drawn, DRAWN, SEED)
    assert making.wait(LOADING) == 0
    document = desk.folder / "stages.yaml"
    document.write_text(json.dumps(staged(desk.folder / "talking")))
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        job = Job(server.url, "shapes")
        flags = ("--redis", server.url, "--job", "shapes")
        fetched: dict[str, float] = {}

        def work(name: str, *stages: str) -> Running:
            served = [word for stage in stages for word in ("--stage", stage)]
            return desk.start("worker", *flags, "--name", name, *served)

        def feed(count: int) -> Running:
            """Begin to feed what is new of the first images."""
            hand_over(drawn, images, count)
            return desk.start("feed", images, *flags, "--config", document)

        def wait_for_captions(count: int) -> None:
            # An engine may have to start again before that.
            wait_until(lambda: job.count("captioned") == count, f"{count} captioned", LOADING)

        def look(*live: Running, since: float = 0.0) -> bool:
            """Note what workers count; whether each of these has said so since then."""
            workers = [m for m in job.members().values() if m["role"] == "worker"]
            fetched.update({m["name"]: m["figures"]["images"] for m in workers})
            seen = {m["pid"]: m["seen"] for m in workers}
            return all(seen[running.pid] > since for running in live)

        def busy() -> int:
            return job.held_by("samples:describe", "seeing")

        feed(2)
        seeing, talking = work("seeing", "describe"), work("doomed", "shorten", "tag")
        sink = desk.start("sink", *flags, "--config", document)
        for worker in (seeing, talking):
            wait_for_engine(worker)
        wait_for_captions(2)
        feed(DRAWN // 3)
        wait_until(lambda: job.held_by("samples:shorten", "doomed"), "a worker with samples")
        look()
        talking.kill()
        # Both load at once. Each accident has images of its own to meet with: an engine may have
        # described all others by then.
        talking = work("blind", "shorten", "tag")
        job.wait_for("planned", DRAWN // 3)
        feed(2 * DRAWN // 3)
        hurt_engine(seeing, busy, signal.SIGKILL, "vLLM's engine has died")
        wait_for_engine(talking)
        wait_for_captions(2 * DRAWN // 3)
        feeder = feed(DRAWN)
        hurt_engine(seeing, busy, signal.SIGSTOP, "gave no token")
        wait_for_captions(DRAWN)
        over = time.time()
        wait_until(lambda: look(seeing, talking, since=over), "the last words of both workers")
        said = seeing.err
        for each in (sink, seeing, talking):
            each.signal(signal.SIGTERM)
        ended = [each.wait() for each in (feeder, sink, seeing, talking)]
        found = rows(desk.folder / "caption_data" / "shapes")
        yield Done(found, truth, fetched, job.counts(), said, ended)


def test_every_process_that_was_left_ends_well(done: Done):
    assert [end.code for end in done.ended] == [0] * 4, [end.words for end in done.ended]


def test_the_books_balance(done: Done):
    counts = done.counts
    assert [counts[name] for name in ("planned", "offered", "completed", "captioned")] == [
        DRAWN
    ] * 4
    assert counts.get("dead", 0) == counts["bytes_in_flight"] == 0


def test_each_image_has_one_row_with_all_fields(done: Done):
    assert sorted(row["id"] for row in done.rows) == sorted(done.truth)
    assert all(len(row[f]) == 1 for row in done.rows for f in ("description", "short", "tags"))


def test_descriptions_are_true(done: Done):
    true = sum(row["description"] == [done.truth[row["id"]]] for row in done.rows)

    assert true >= 0.98 * DRAWN


def test_prompts_of_later_stages_hold_what_earlier_ones_said(done: Done):
    """All rows have the same tokens in their prompts, but for the texts filled in."""
    tokens = Tokenizer.from_file(str(SHAPES / "model" / "tokenizer.json"))

    def length(text: str) -> int:
        return len(tokens.encode(text, add_special_tokens=False).ids)

    rests = set()
    for row in done.rows:
        [description], [short] = row["description"], row["short"]
        filled = SHORTEN.format(description=description), TAG.format(short=short)
        rests.add(row["prompt_tokens"] - sum(map(length, filled)))

    assert len({row["prompt_tokens"] for row in done.rows}) > 1
    assert len(rests) == 1


def test_no_image_is_fetched_by_the_worker_whose_stages_see_none(done: Done):
    seeing = {name: images for name, images in done.fetched.items() if "-seeing-" in name}
    blinds = {name: images for name, images in done.fetched.items() if name not in seeing}

    assert len(blinds) == 2
    assert sum(blinds.values()) == 0
    assert sum(seeing.values()) > 0


def test_samples_of_the_killed_worker_went_to_the_other(done: Done):
    again = [row for row in done.rows if row["attempt"] == 2]

    assert again
    assert all("-blind-" in row["worker"] for row in again)


def test_engine_that_died_and_engine_that_hung_came_back(done: Done):
    assert done.said.count("The engine is back") >= 2


def test_no_process_is_left(shared_desk: Desk, done: Done):
    assert done.rows
    wait_until(lambda: processes_in(shared_desk.folder) == [], "all processes to end")
