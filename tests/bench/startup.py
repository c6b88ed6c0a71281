"""Bench: how soon each command is of use: wall, CPU seconds and peak memory of its process.

    python -m tests.bench.startup [--runs 5]

`--help` and `status` to their end; `feed` to the first sample offered, `worker` (simulated engine)
to the first caption completed, `sink` to the first part recorded. Warm: all modules compiled. Cold:
none is, as after an installation that compiles nothing; files are in the page cache in both.
The ceiling is what an interpreter takes that imports nothing. Peaks of those that end are no less
than the peak of this bench, of which they are forked.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.roles import REDIS_OPTIONS, counted, cpu_seconds
from tests.bench.tree import peak_mib
from tests.redis_server import RedisServer

JOB = "bench"
IMAGES, BYTES = 64, 16_384
ROWS = 10
PATIENCE = 60.0  # seconds
SETTINGS = ("engine=simulated", f"storage.rows_per_part={ROWS}")


class Run:
    """One round of all commands on one job."""

    def __init__(self, server: RedisServer, place: Path, images: Path, compiled: str) -> None:
        """`compiled`: where Python looks for compiled modules; "" for its own places."""
        self._server = server
        self._place = place
        self._images = images
        self._compiled = compiled

    def all(self) -> dict[str, dict[str, float]]:
        """Start each command once, in the order of a job."""
        where = ("--redis", self._server.url, "--job", JOB)
        changes = [word for setting in SETTINGS for word in ("--set", setting)]
        out = ("--data-dir", str(self._place / "out"))
        feed = ("feed", str(self._images), *where, *changes)
        return {
            "bare Python": self._ended("-c", ""),
            "--help": self._ended("-m", "caption_flow", "--help"),
            "feed": self._until(feed, lambda: counted(self._server, JOB, "offered")),
            "worker": self._until(
                ("worker", *where), lambda: counted(self._server, JOB, "completed") > ROWS
            ),
            "sink": self._until(
                ("sink", *where, *changes, *out), lambda: counted(self._server, JOB, "captioned")
            ),
            "status": self._ended("-m", "caption_flow", "status", *where),
        }

    def _ended(self, *words: str) -> dict[str, float]:
        begun = time.monotonic()
        process = self._start(words)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with code {process.returncode}.")
        used = usage.ru_utime + usage.ru_stime
        return _told(seconds, used, usage.ru_maxrss / 1024)

    def _until(self, words: tuple[str, ...], useful: Callable[[], object]) -> dict[str, float]:
        begun = time.monotonic()
        process = self._start(("-m", "caption_flow", *words))
        try:
            while not useful():
                if process.poll() is not None or time.monotonic() - begun > PATIENCE:
                    raise SystemExit(f"{words[0]}: {(self._place / 'log').read_text()}")
                time.sleep(0.005)
            seconds = time.monotonic() - begun
            return _told(seconds, cpu_seconds(process.pid), peak_mib(process.pid))
        finally:
            process.terminate()
            process.wait()

    def _start(self, words: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        prefix = {"PYTHONPYCACHEPREFIX": self._compiled} if self._compiled else {}
        with (self._place / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *words],
                stdout=log,
                stderr=log,
                cwd=self._place,  # where no document lies that would be read
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **prefix},
            )


def _told(seconds: float, cpu: float, peak: float) -> dict[str, float]:
    return {"wall_s": round(seconds, 3), "cpu_s": round(cpu, 3), "peak_mib": round(peak, 1)}


def made(cache: Path) -> Path:
    """Give the images."""
    # By another process: the peak of one counts that of who it was forked from.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        return other.submit(_made, cache).result()


def _made(cache: Path) -> Path:
    from tests.bench.images import jpeg_folder  # noqa: PLC0415 - takes 60 MiB

    return jpeg_folder(cache, IMAGES, BYTES)


def one_run(images: Path, *, cold: bool) -> dict[str, dict[str, float]]:
    """Start all commands, each compiled as the case says."""
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as scratch:
        place = Path(scratch)
        with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
            compiled = str(place / "compiled") if cold else ""
            return Run(server, place, images, compiled).all()


def main() -> None:
    """Print the runs of both cases as JSON and a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-only", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    images = made(given.cache)
    for case in ("warm",) if given.warm_only else ("warm", "cold"):
        runs = [one_run(images, cold=case == "cold") for _ in range(given.runs)]
        print(json.dumps({"bench": "startup", "case": case, "runs": runs}))
        medians = {
            name: [
                statistics.median(run[name][key] for run in runs)
                for key in ("wall_s", "cpu_s", "peak_mib")
            ]
            for name in runs[0]
        }
        said = "; ".join(
            f"{name} {wall:.2f} s ({cpu:.2f} CPU), {peak:.0f} MiB"
            for name, (wall, cpu, peak) in medians.items()
        )
        print(f"startup, {case}: {said}", flush=True)


if __name__ == "__main__":
    main()
