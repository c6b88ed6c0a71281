"""Settings that change while 5,000 samples run: prompts at once, a model after a drain, a stage's
name with samples in it; and nothing is lost, doubled, failed or held up."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from caption_flow.config.broadcast import fingerprint
from caption_flow.config.vllm import Stage
from tests.e2e.desk import Desk, Ended
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

IMAGES = 5000
SLOTS, DECODED = 16, 4  # requests in an engine, and samples that are ready for it
# The changes, each with how many samples must be captioned before it.
CHANGES = (
    (1000, {"prompts": ["Name it."]}),
    (2500, {"model": "larger"}),
    (3500, {"name": "describe"}),
)
LOADING = "Loading the engine"


class Done(Struct, frozen=True):
    """A job whose settings changed three times, and what was seen of it."""

    images: Path
    rows: list[dict[str, Any]]
    loads: list[list[int]]  # engines that each worker had loaded after each change, and at the end
    reloads: list[Ended]
    ended: list[Ended]
    counts: dict[str, int]


@pytest.fixture(scope="module")
def done(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two workers on a job that three documents are published for while it runs."""
    desk = shared_desk
    images = draw(desk.folder / "photos", IMAGES)
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        job = Job(server.url, "photos")
        flags = ("--redis", server.url, "--job", "photos")
        stage: dict[str, Any] = {"name": "caption", "model": "large", "prompts": ["Describe it."]}
        document = write(desk.folder, stage)
        workers = [
            desk.start("worker", *flags, "--name", name, "--exit-when-done")
            for name in ("first", "second")
        ]
        sink = desk.start("sink", *flags, "--config", document, "--exit-when-done")
        feeder = desk.start("feed", images, *flags, "--config", document)
        reloads, loads = [], []
        for least, change in CHANGES:
            job.wait_for("completed", least)
            loads.append([worker.err.count(LOADING) for worker in workers])
            stage |= change
            document = write(desk.folder, stage)
            reloads.append(desk.run("reload_config", "--yes", *flags, "--config", document))
        ended = [running.wait() for running in (feeder, *workers, sink)]
        loads.append([worker.err.count(LOADING) for worker in workers])
        found = rows(desk.folder / "caption_data" / "photos")
        yield Done(images, found, loads, reloads, ended, job.counts())


def write(folder: Path, stage: dict[str, Any]) -> Path:
    document = folder / "job.yaml"
    settings = {
        "engine": "simulated",
        "chunk_size": 250,
        "simulated": {"latency": [0.04, 0.08]},
        "budget": {"samples": 1000},
        "storage": {"rows_per_part": 250},
        "vllm": {"batch_size": SLOTS, "stages": [stage]},
    }
    document.write_text(json.dumps(settings))
    return document


def of_each_worker(found: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each worker, in the order they were captioned."""
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(found, key=lambda row: row["captioned_at"]):
        rows_of.setdefault(row["worker"], []).append(row)
    return list(rows_of.values())


def test_every_command_ends_well(done: Done):
    assert [end.code for end in (*done.reloads, *done.ended)] == [0] * 7, done.reloads


def test_no_sample_is_lost_doubled_failed_or_tried_twice(done: Done):
    assert said(done.rows) == sorted(digests(done.images).items())
    assert {row["attempt"] for row in done.rows} == {1}
    assert (done.counts["captioned"], done.counts.get("dead", 0)) == (IMAGES, 0)
    assert not any(" Trying " in ended.err for ended in done.ended)


def test_each_row_tells_the_settings_that_made_it(done: Done):
    before, after = (fingerprint(Stage("", "", (p,))) for p in ("Describe it.", "Name it."))
    made = {(row["settings_version"], row["prompts"]) for row in done.rows}

    assert made == {(1, before), (2, after), (3, after), (4, after)}


def test_each_worker_changes_over_once_but_for_what_was_in_flight(done: Done):
    both = of_each_worker(done.rows)
    assert len(both) == 2
    for of_one in both:
        versions = [row["settings_version"] for row in of_one]
        for version in (2, 3, 4):
            late = sum(v < version for v in versions[versions.index(version) :])
            assert late <= SLOTS + DECODED


def test_another_prompt_or_name_of_a_stage_loads_no_engine(done: Done):
    assert done.loads == [[1, 1], [1, 1], [2, 2], [2, 2]]


def test_another_prompt_holds_nothing_up(done: Done):
    for of_one in of_each_worker(done.rows):
        of_two = [row for row in of_one if row["settings_version"] <= 2]
        times = [row["captioned_at"].timestamp() for row in of_two]
        change = times[[row["settings_version"] for row in of_two].index(2)]
        gaps = [(then - now, abs(now - change) < 1) for now, then in pairwise(times)]
        around = max(gap for gap, near in gaps if near)
        elsewhere = max(gap for gap, near in gaps if not near)

        assert around <= 2 * elsewhere + 0.5  # s; the machine has pauses of its own
