"""The real vLLM, when it dies: its worker, its engine's process, and an engine that hangs."""

import signal
from collections.abc import Iterator
from os import kill
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.e2e.desk import Desk, Ended, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import rows
from tests.e2e.runs import processes_in
from tests.e2e.shapes import ROOT, SHAPES, draw_shapes, hand_over, means, right, wait_for_engine
from tests.redis_server import RedisServer

__all__ = ["means"]
pytestmark = pytest.mark.vllm

DRAWN = 600
SEED = 771_204  # of images that no training has seen
SILENCE = 5.0  # seconds without a token after which an engine is dead


class Survived(Struct, frozen=True):
    """A job whose first worker was killed, and whose second one's engine died and hung."""

    rows: list[dict[str, Any]]
    truth: dict[str, str]
    counts: dict[str, int]
    said: str  # by the worker that stayed
    ended: Ended


@pytest.fixture(scope="module")
def survived(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    desk, drawn, images = shared_desk, shared_desk.folder / "drawn", shared_desk.folder / "images"
    truth = draw_shapes(drawn, DRAWN, SEED)
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        flags = ("--redis", server.url, "--job", "shapes")
        job = Job(server.url, "shapes")
        document = ("--config", ROOT / "examples" / "run.yaml", "--data-dir", "out")
        fast = settings(vllm__batch_size=8, lease_seconds=3, engine_timeout=SILENCE)

        def feed(count: int) -> None:
            """Feed the first images, as soon as those fed before are captioned."""
            job.wait_for("captioned", job.count("planned"))
            hand_over(drawn, images, count)
            desk.start("feed", images, *flags, *document, *fast)
            job.wait_for("planned", count)

        feed(2)
        doomed, staying = (
            desk.start("worker", *flags, "--model", SHAPES / "model", "--name", name)
            for name in ("doomed", "staying")
        )
        sink = desk.start("sink", *flags, *document, *fast)
        for worker in (doomed, staying):
            wait_for_engine(worker)
        # Each accident has images of its own to meet with, however fast the engines are.
        feed(DRAWN // 3)
        wait_until(lambda: job.held_by("samples:caption", "doomed"), "a worker with samples")
        doomed.kill()
        feed(2 * DRAWN // 3)
        hurt_engine(staying, job, signal.SIGKILL, "vLLM's engine has died")
        feed(DRAWN)
        hurt_engine(staying, job, signal.SIGSTOP, "gave no token")
        job.wait_for("captioned", DRAWN)
        ended, said = staying.terminate(), staying.err
        sink.terminate()
        yield Survived(rows(desk.folder / "out" / "shapes"), truth, job.counts(), said, ended)


def hurt_engine(worker: Running, job: Job, how: signal.Signals, until_said: str) -> None:
    """Let something befall a busy engine's own process, and wait until its worker has seen it."""
    # One that was killed before may be long in dying.
    wait_until(lambda: len(engines(worker)) == 1, "one engine")
    wait_until(lambda: job.held_by("samples:caption", "staying"), "a worker with samples")
    [engine] = engines(worker)
    kill(engine, how)
    wait_until(lambda: until_said in worker.err, until_said)


def engines(worker: Running) -> list[int]:
    return [pid for pid in children(worker.pid) if "EngineCore" in name_of(pid)]


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:  # it has just ended
        return ""


def test_each_image_is_captioned_once(survived: Survived):
    assert sorted(row["id"] for row in survived.rows) == sorted(survived.truth)
    assert survived.counts["captioned"] == survived.counts["planned"] == DRAWN


def test_captions_are_true(survived: Survived):
    assert right(survived.rows, survived.truth) >= 0.98


def test_samples_of_the_killed_worker_went_to_the_other(survived: Survived):
    again = [row for row in survived.rows if row["attempt"] == 2]

    assert again
    assert all("-staying-" in row["worker"] for row in again)


def test_engine_that_died_and_engine_that_hung_came_back(survived: Survived):
    assert survived.said.count("The engine is back") >= 2


def test_their_worker_ends_well(survived: Survived):
    assert survived.ended.code == 0, survived.ended.words


def test_no_process_is_left(shared_desk: Desk, survived: Survived):
    assert survived.rows
    wait_until(lambda: processes_in(shared_desk.folder) == [], "all processes to end")
