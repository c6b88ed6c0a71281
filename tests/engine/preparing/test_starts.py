"""Processes that prepare: what becomes of jobs where the host, and no image, is at fault."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from caption_flow.engine.preparing.processes import STARTS, Processes
from caption_flow.errors import EngineDead, EngineFailed
from tests.e2e.desk import wait_until
from tests.engine.preparing.test_processes import runs

ECHO = "tests.engine.preparing.echo"
FEW = "tests.engine.preparing.few"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a start that failed be tried again soon."""
    monkeypatch.setattr("caption_flow.engine.preparing.processes.START_PAUSE", 0.01)


@contextmanager
def opened(module: str, count: int) -> Iterator[Processes]:
    made = Processes(module, b"hello", count)
    try:
        yield made
    finally:
        made.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Have none left for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = max(int(file.name) for file in Path("/proc/self/fd").iterdir()) + 1
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    try:
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            yield
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_image_is_blamed_for_processes_that_do_not_start(caplog: pytest.LogCaptureFixture):
    with opened("tests.engine.preparing.absent", 1) as processes:
        for _ in range(2):
            with pytest.raises(EngineDead, match='"preparers: 0" does without'):
                processes.ask([b"one"])

    assert caplog.text.count("has ended") == 2 * STARTS


def test_those_that_run_do_without_one_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MAY_START", str(tmp_path))
    (tmp_path / "one").touch()
    with opened(FEW, 3) as processes, ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(processes.ask, [b"wait", b"0.2"]) for _ in range(6)]
        assert [bytes(job.result(20.0)[0]) for job in jobs] == [b"wait"] * 6
        assert len(processes.pids) == processes.count == 1

    assert "No more than 1 processes" in caplog.text


def test_one_that_starts_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Though another has given up meanwhile."""
    monkeypatch.setenv("MAY_START", str(tmp_path))
    (tmp_path / "one").write_text("3.0")
    with opened(FEW, 2) as processes, ThreadPoolExecutor(2) as threads:
        first = threads.submit(processes.ask, [b"one"])
        wait_until(lambda: not any(tmp_path.iterdir()), "the first to start")
        second = threads.submit(processes.ask, [b"two"])

        assert bytes(second.result(20.0)[0]) == b"two"
        assert first.done()


def test_who_rests_between_two_starts_takes_no_turn_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MAY_START", str(tmp_path))
    monkeypatch.setattr("caption_flow.engine.preparing.processes.START_PAUSE", 60.0)
    (tmp_path / "one").touch()
    with opened(FEW, 2) as processes, ThreadPoolExecutor(3) as threads:
        processes.ask([b"one"])
        begun = tmp_path.parent / "begun"
        first = threads.submit(processes.ask, [b"wait", b"4.0", bytes(begun)])
        wait_until(begun.exists, "the first to be at it")
        second = threads.submit(processes.ask, [b"two"])
        wait_until(lambda: "has ended" in caplog.text, "the second to find no process")
        waiting = processes._changed._waiters  # type: ignore[attr-defined]
        wait_until(lambda: len(waiting) == 1, "the second to rest")
        third = threads.submit(processes.ask, [b"three"])

        assert bytes(third.result(20.0)[0]) == b"three"
        assert first.done()
        assert not second.done()
        processes.close()
        assert isinstance(second.exception(20.0), EngineDead)


def test_no_image_is_blamed_for_descriptors_that_have_run_out():
    with opened(ECHO, 1) as processes:
        processes.ask([b"one"])
        [pid] = processes.pids
        with no_descriptors(), pytest.raises(EngineFailed, match="Too many open files"):
            processes.ask([b"two"])

        assert bytes(processes.ask([b"three"])[0]) == b"three"
        assert processes.pids == [pid]


def test_image_whose_answer_finds_no_descriptor_fails_alone(tmp_path: Path):
    with opened(ECHO, 1) as processes, ThreadPoolExecutor(1) as threads:
        processes.ask([b"one"])
        [pid] = processes.pids
        begun = tmp_path / "begun"
        waiting = threads.submit(processes.ask, [b"wait", b"1.0", bytes(begun)])
        wait_until(begun.exists, "it to be at it")
        with no_descriptors(), pytest.raises(EngineFailed, match="Too many open files"):
            waiting.result(20.0)

        assert bytes(processes.ask([b"two"])[0]) == b"two"
        assert processes.pids == [pid]


def test_what_was_opened_is_closed_again():
    with opened(ECHO, 2) as processes:
        processes.ask([bytes(1000)])
    before = descriptors()
    for _ in range(3):
        with opened(ECHO, 2) as processes, ThreadPoolExecutor(2) as threads:
            answers = threads.map(processes.ask, [[b"wait", b"0.05"]] * 8)
            assert all(bytes(answer[0]) == b"wait" for answer in answers)
            os.kill(processes.pids[0], 9)
            processes.ask([b"one"])
            processes.resize(1)
    with opened("tests.engine.preparing.absent", 1) as processes, pytest.raises(EngineDead):
        processes.ask([b"one"])

    assert descriptors() == before


class Hanging:
    """What hangs whoever unpickles it."""

    def __reduce__(self) -> Any:
        return time.sleep, (600.0,)


def test_process_that_hangs_ends_with_a_killed_worker():
    program = (
        "import pickle; from threading import Thread\n"
        "from caption_flow.engine.preparing.pool import CHILD\n"
        "from caption_flow.engine.preparing.processes import Processes\n"
        "from tests.engine.preparing.test_starts import Hanging\n"
        "made = Processes(CHILD, pickle.dumps(Hanging()), 1)\n"
        "Thread(target=made.ask, args=([b''],)).start()\n"
        "while not made.pids: pass\n"
        "print(*made.pids, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout
        pid = int(worker.stdout.readline())
        wait_until(lambda: is_hanging(pid), "it to hang")
        worker.kill()

    wait_until(lambda: not runs(pid), "the process to end")


def is_hanging(pid: int) -> bool:
    """Whether it is past its imports, and closed what it was greeted with."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return "memfd:caption-flow" in maps
