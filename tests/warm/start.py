"""Starts processes of `caption-flow` that are warm, and sees how they end."""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread

import msgspec

from tests.warm.orders import Ended, Start, Started

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for all imports, on however busy a machine


class WarmProcess:
    """A process that was started warm; to be used as one of `subprocess`."""

    def __init__(self, pid: int, ended: "Future[int]") -> None:
        self.pid = pid
        self._ended = ended

    def poll(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    def wait(self, timeout: float) -> int:
        try:
            return self._ended.result(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(f"caption-flow, pid {self.pid}", timeout) from None

    def send_signal(self, number: signal.Signals) -> None:
        if not self._ended.done():
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that forks, and those it has forked."""

    def __init__(self) -> None:
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm"],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._one_at_a_time = Lock()
        self._started: Future[WarmProcess] = Future()
        self._ends: dict[int, Future[int]] = {}
        self._listening = Thread(target=self._listen, daemon=True)
        self._listening.start()

    def start(self, order: Start) -> WarmProcess:
        with self._one_at_a_time:
            self._started = Future()
            assert self._process.stdin is not None
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
            return self._started.result(PATIENCE)

    def close(self) -> None:
        """Let it end, and see it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._listening.join(PATIENCE)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                self._hear(msgspec.json.decode(line, type=Started | Ended))
        if not self._started.done():  # nobody shall wait for it
            self._started.set_exception(RuntimeError("`python -m tests.warm` has ended"))

    def _hear(self, answer: Started | Ended) -> None:
        match answer:
            case Started(pid):
                ended = self._ends[pid] = Future()
                self._started.set_result(WarmProcess(pid, ended))
            case Ended(pid, code) if pid in self._ends:
                self._ends.pop(pid).set_result(code)
            case Ended(pid, code):
                failed = RuntimeError(f"pid {pid} could not become what was asked for: {code}")
                self._started.set_exception(failed)


@cache
def _nursery() -> Nursery:
    """One for all tests of this process."""
    nursery = Nursery()
    atexit.register(nursery.close)
    return nursery


def start_warm(
    arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str], out: Path, err: Path
) -> WarmProcess:
    """Start `caption-flow ARGUMENTS`, with these variables alone; its output is added to files."""
    return _nursery().start(Start(tuple(arguments), str(folder), dict(environ), str(out), str(err)))


def start_cold(
    arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str], out: Path, err: Path
) -> "subprocess.Popen[bytes]":
    """Start it likewise from a new Python."""
    with out.open("ab") as to_out, err.open("ab") as to_err:
        return subprocess.Popen(
            [sys.executable, "-m", "caption_flow", *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            start_new_session=True,
        )
