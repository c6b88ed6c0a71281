"""The real vLLM, on a CPU, with the model of examples/shapes: what it says can be checked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, settings, wait_until
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
    right,
    variables,
    wait_for_engine,
)
from tests.redis_server import RedisServer

__all__ = ["means"]
pytestmark = pytest.mark.vllm

DRAWN = 240
SEED = 190_283  # of images that no training has seen


class Apart(Struct, frozen=True):
    """Images drawn afresh, captioned by two workers of which one was stopped on the way."""

    rows: list[dict[str, Any]]
    truth: dict[str, str]
    counts: dict[str, int]
    ended: dict[str, Ended]


@pytest.fixture(scope="module")
def apart(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Two loaded engines wait while the images are drawn, so that both have their share."""
    desk, drawn, images = shared_desk, shared_desk.folder / "drawn", shared_desk.folder / "images"
    truth = draw_shapes(drawn, DRAWN, SEED)
    hand_over(drawn, images, 2)
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        flags = ("--redis", server.url, "--job", "shapes")
        job = Job(server.url, "shapes")
        document = ("--config", ROOT / "examples" / "run.yaml", "--data-dir", "out")
        given = (*flags, *document, *settings(vllm__batch_size=8))
        model = ("--model", SHAPES / "model")  # where it is on this worker's host
        started = {
            name: desk.start("worker", *flags, *model, "--name", name, environ=environ)
            for name, environ in (
                ("leaving", variables(ONE_PROCESS)),
                ("staying", {"CAPTION_FLOW_LOG_FORMAT": "json"}),
            )
        }
        started["sink"] = desk.start("sink", *given)
        assert desk.run("feed", images, *given).code == 0
        for name in ("leaving", "staying"):
            wait_for_engine(started[name])
        job.wait_for("captioned", 2)  # a feed looks for new images when all before are settled
        hand_over(drawn, images, DRAWN)
        started["feed"] = desk.start("feed", images, *given)
        wait_until(lambda: job.held_by("samples:caption", "leaving"), "a worker with samples")
        job.wait_for("completed", DRAWN // 5)
        ended = {"leaving": started["leaving"].interrupt()}
        job.wait_for("completed", DRAWN)
        for name in ("feed", "staying", "sink"):
            command = started[name]
            ended[name] = command.wait() if name == "feed" else command.terminate()
        yield Apart(rows(desk.folder / "out" / "shapes"), truth, job.counts(), ended)


def test_fresh_images_are_captioned_truly(apart: Apart):
    assert right(apart.rows, apart.truth) >= 0.98


def test_each_image_is_captioned_once_though_a_worker_left(apart: Apart):
    assert sorted(row["id"] for row in apart.rows) == sorted(apart.truth)
    assert apart.counts["captioned"] == apart.counts["planned"] == DRAWN


def test_both_workers_captioned(apart: Apart):
    workers = [row["worker"] for row in apart.rows]

    assert all(any(f"-{name}-" in w for w in workers) for name in ("leaving", "staying"))


def test_leaving_costs_no_attempt(apart: Apart):
    assert {row["attempt"] for row in apart.rows} == {1}


def test_every_role_ends_well(apart: Apart):
    assert {name: end.code for name, end in apart.ended.items()} == dict.fromkeys(apart.ended, 0)


def test_engine_of_who_leaves_finishes_what_is_inside(apart: Apart):
    assert "Captioned" in apart.ended["leaving"].out
    assert "has died" not in apart.ended["leaving"].err
    assert "Traceback" not in apart.ended["leaving"].err


def test_vllm_logs_json_in_each_of_its_processes_where_that_is_asked_for(apart: Apart):
    staying, leaving = apart.ended["staying"], apart.ended["leaving"]
    lines = [json.loads(line) for line in staying.err.splitlines() if line.startswith("{")]
    loggers = {line["logger"] for line in lines if line["role"] == "worker"}

    assert {"vllm.v1.engine.core", "vllm.v1.worker.cpu_worker"} <= loggers
    plain = "(EngineCore "  # how vLLM begins a line of such a process
    assert plain in leaving.out
    assert plain not in staying.out + staying.err


class Wrong(Struct, frozen=True):
    """Three runs that cannot be."""

    misspelt: Ended
    missing: Ended
    sampled: Ended


@pytest.fixture(scope="module")
def wrong(shared_desk: Desk) -> Wrong:
    """All at once, since most of the time is vLLM's import."""
    desk = shared_desk
    common = ("run", "examples/shapes/images", "--data-dir")
    misspelt = desk.start(
        *common, desk.folder / "a", *settings(vllm__max_modle_len=512), folder=ROOT
    )
    missing = desk.start(
        *common, desk.folder / "b", "--model", "examples/shapes/nowhere", folder=ROOT
    )
    sampled = desk.start(
        *common, desk.folder / "c", *settings(vllm__sampling__min_p=5), folder=ROOT
    )
    return Wrong(misspelt.wait(LOADING), missing.wait(LOADING), sampled.wait(LOADING))


def test_misspelt_engine_argument_ends_the_run_with_the_nearest(wrong: Wrong):
    assert wrong.misspelt.code == 2, wrong.misspelt.words
    assert "vllm.max_modle_len is not an argument of the installed vLLM" in wrong.misspelt.err
    assert 'did you mean "max_model_len"?' in wrong.misspelt.err


def test_missing_model_ends_the_run_with_its_name(wrong: Wrong):
    assert wrong.missing.code == 2, wrong.missing.words
    assert 'cannot load the model "examples/shapes/nowhere"' in wrong.missing.err


def test_sampling_that_vllm_refuses_ends_the_run_and_costs_no_sample(wrong: Wrong):
    assert wrong.sampled.code == 2, wrong.sampled.words
    assert 'The sampling of the stage "caption"' in wrong.sampled.err
    assert "min_p" in wrong.sampled.err
    assert "Gave up" not in wrong.sampled.err


def test_sampling_that_vllm_refuses_is_told_before_a_model_is_loaded(wrong: Wrong):
    assert "EngineCore" not in wrong.sampled.err


def test_wrong_engine_is_told_without_a_traceback(wrong: Wrong):
    assert "Traceback" not in wrong.misspelt.err + wrong.missing.err + wrong.sampled.err


def test_no_process_is_left(shared_desk: Desk, wrong: Wrong):
    assert wrong.misspelt.code
    wait_until(lambda: processes_in(shared_desk.folder) == [], "all processes to end")
