"""Accidents of a worker's engine: something befalls the process in which vLLM runs the model."""

import signal
from collections.abc import Callable
from os import kill
from pathlib import Path

from tests.e2e.desk import Running, wait_until


def hurt_engine(
    worker: Running, busy: Callable[[], object], how: signal.Signals, until_said: str
) -> None:
    """Let something befall a busy engine's own process, and wait until its worker has seen it."""
    # One that was killed before may be long in dying.
    wait_until(lambda: len(engines(worker)) == 1, "one engine")
    wait_until(busy, "a worker with samples")
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
