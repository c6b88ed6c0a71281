"""The real vLLM in several stages: two models on two workers, of which one sees no image and is
killed; and answers of a form, which become typed columns."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec import Struct
from tokenizers import Tokenizer

from examples.shapes.draw import COLOURS, SIZES
from examples.shapes.draw import SHAPES as FORMS
from tests.e2e.desk import Desk, Ended, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import rows
from tests.e2e.shapes import LOADING, ROOT, SHAPES, draw_shapes, means, wait_for_engine
from tests.redis_server import RedisServer

__all__ = ["means"]
pytestmark = pytest.mark.vllm

DRAWN = 1000
SEED = 550_917  # of images that no training has seen
ENGINE = {"max_model_len": 512, "gpu_memory_utilization": 0.1, "enforce_eager": True}
SHORTEN, TAG = "Shorten: {description}", "Tags of {short}"
GREEDY = {"temperature": 0, "max_tokens": 32}
# What a model of random weights says has no end.
BRIEF = {"temperature": 0, "max_tokens": 8}


def staged(talking: Path) -> dict[str, Any]:
    """The document of three stages, of which two have a model that takes no images."""
    told: dict[str, Any] = {"model": str(talking), "image": False, "sampling": BRIEF}
    return {
        "lease_seconds": 3,
        "chunk_size": 100,
        "storage": {"rows_per_part": 250},
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
    ended: list[Ended]


@pytest.fixture(scope="module")
def done(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A job whose worker without eyes was killed and started again."""
    desk, images = shared_desk, shared_desk.folder / "images"
    make = [sys.executable, "-m", "tests.shapes.blind", desk.folder / "talking"]
    making = subprocess.Popen(make, cwd=ROOT)  # torch takes its time, and marks its process
    truth = draw_shapes(images, DRAWN, SEED)
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

        def look(*live: Running, since: float = 0.0) -> bool:
            """Note what workers count; whether each of these has said so since then."""
            workers = [m for m in job.members().values() if m["role"] == "worker"]
            fetched.update({m["name"]: m["figures"]["images"] for m in workers})
            seen = {m["pid"]: m["seen"] for m in workers}
            return all(seen[running.pid] > since for running in live)

        seeing, talking = work("seeing", "describe"), work("blind", "shorten", "tag")
        feeder = desk.start("feed", images, *flags, "--config", document)
        sink = desk.start("sink", *flags, "--config", document, "--exit-when-done")
        for worker in (seeing, talking):
            wait_for_engine(worker)
        job.wait_for("completed", DRAWN // 10)
        look()
        talking.kill()
        talking = work("blind", "shorten", "tag")
        wait_for_engine(talking)
        job.wait_for("captioned", DRAWN)
        over = time.time()
        wait_until(lambda: look(seeing, talking, since=over), "the last words of both workers")
        ended = [feeder.wait(), sink.wait(), seeing.terminate(), talking.terminate()]
        found = rows(desk.folder / "caption_data" / "shapes")
        yield Done(found, truth, fetched, job.counts(), ended)


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
    blinds = {name: images for name, images in done.fetched.items() if "-blind-" in name}
    seeing = {name: images for name, images in done.fetched.items() if "-seeing-" in name}

    assert len(blinds) == 2
    assert sum(blinds.values()) == 0
    assert sum(seeing.values()) > 0


KEYS = {"size": SIZES, "color": COLOURS, "shape": FORMS, "background": COLOURS}
SCHEMA = {
    "type": "object",
    "properties": {name: {"enum": list(values)} for name, values in KEYS.items()},
    "required": list(KEYS),
    "additionalProperties": False,
}


class Formed(Struct, frozen=True):
    """A run whose answers have a form."""

    ended: Ended
    parts: list[Path]
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def formed(shared_desk: Desk) -> Formed:
    """The 64 images of the repository, by the model that answers in JSON."""
    document = shared_desk.folder / "formed.yaml"
    stage = {
        "name": "look",
        "prompts": ["Describe the image as JSON."],
        "output_field": "answer",
        "sampling": {"temperature": 0, "max_tokens": 60},
        "structured_outputs": {"json": SCHEMA},
    }
    vllm = {"model": str(SHAPES / "json-model"), **ENGINE, "stages": [stage]}
    document.write_text(json.dumps({"vllm": vllm}))
    out = shared_desk.folder / "formed"
    command = shared_desk.start(
        "run", SHAPES / "images", "--config", document, "--data-dir", out, *settings(job="formed")
    )
    ended = command.wait(LOADING)
    parts = sorted((out / "formed").glob("*.parquet"))
    return Formed(ended, parts, rows(out / "formed"))


def test_all_answers_have_their_form(formed: Formed):
    assert formed.ended.code == 0, formed.ended.words
    assert len(formed.rows) == 64
    assert all(json.loads(row["answer"][0]) == {k: row[k] for k in KEYS} for row in formed.rows)


def test_what_a_form_names_is_a_typed_column(formed: Formed):
    schemas = [pq.read_schema(part) for part in formed.parts]

    assert {str(schema.field(name).type) for schema in schemas for name in KEYS} == {"string"}


def test_the_fields_are_true(formed: Formed):
    truth = json.loads((SHAPES / "captions.json").read_text())
    true = 0
    for row in formed.rows:
        _, size, color, shape, _, _, background, _ = truth[row["id"]].split()
        true += [row[name] for name in KEYS] == [size, color, shape, background]

    assert true >= 60
