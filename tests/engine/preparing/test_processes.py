"""Processes that prepare: what goes through them, and what their end costs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caption_flow.engine.preparing.parcel import receive, send
from caption_flow.engine.preparing.processes import Processes
from caption_flow.errors import EngineDead, EngineRefused
from tests.e2e.desk import wait_until

ECHO = "tests.engine.preparing.echo"


@pytest.fixture
def processes() -> Iterator[Processes]:
    """One process."""
    made = Processes(ECHO, b"hello", 1)
    yield made
    made.close()


def asked(processes: Processes, *frames: bytes) -> list[bytes]:
    return [bytes(frame) for frame in processes.ask(frames)]


def runs(pid: int) -> bool:
    """Whether it is there, and no corpse."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("frames", [[b""], [b"a", b"", b"bc"], [bytes(9_000_000), b"tail"]])
def test_a_parcel_arrives_as_it_was_sent(frames: list[bytes]):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        send(here, frames)

        assert [bytes(frame) for frame in receive(there)] == frames


def test_who_waits_is_told_that_the_other_side_has_ended():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.close()
    with there, pytest.raises(EOFError):
        receive(there)


def test_a_job_that_kills_two_processes_is_refused_and_the_next_is_done(processes: Processes):
    assert asked(processes, b"one") == [b"one"]

    with pytest.raises(EngineRefused, match="ended 2 processes"):
        processes.ask([b"die"])
    assert asked(processes, b"two") == [b"two"]


def test_a_killed_process_costs_the_job_nothing(processes: Processes):
    asked(processes, b"one")
    [killed] = processes.pids
    os.kill(killed, signal.SIGKILL)

    assert asked(processes, b"two") == [b"two"]
    assert processes.pids != [killed]


def test_closing_ends_the_processes(processes: Processes):
    asked(processes, b"one")
    [pid] = processes.pids
    processes.close()

    assert not runs(pid)


def test_all_that_wait_when_it_closes_are_told(processes: Processes):
    asked(processes, b"one")
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(processes.ask, [b"hang"]) for _ in range(2)]
        wait_until(lambda: processes._taken == 1, "one to be at it")
        processes.close()
        errors = [type(job.exception(10.0)) for job in waiting]

    assert errors == [EngineDead, EngineDead]


def test_processes_end_with_a_killed_worker():
    program = (
        "import sys; from caption_flow.engine.preparing.processes import Processes\n"
        f"made = Processes('{ECHO}', b'hello', 1); made.ask([b'one'])\n"
        "print(*made.pids, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout
        pid = int(worker.stdout.readline())
        worker.kill()

    wait_until(lambda: not runs(pid), "the process to end")
