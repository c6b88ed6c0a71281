"""Bench: a large job goes on soon, in little memory, whatever Redis remembers.

    python -m tests.bench.resume [--done 10000000] [--left 1000000] [--table 100000] [--cache DIR]

The first samples stand in parts. Feed, worker (simulated engine) and sink are started as processes
with a Redis that remembers the job, and then with an empty one, and so is `run`. Seconds from the
start to the first caption that a worker hands in and to the first part; and what each process has
taken of CPU and memory (its peak) when the plan is at its end, or after a while.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import redis

from caption_flow.queue import keys
from tests.bench.resume_job import Job, Shape, made, remember
from tests.bench.roles import REDIS_OPTIONS, Processes, cpu_seconds, redis_use
from tests.redis_server import RedisServer

SETTINGS = (
    *("dataset.type=urls", "engine=simulated", "vllm.batch_size=64"),
    *("simulated.latency=[0.05,0.1]", "storage.rows_per_part=500", "budget.samples=2000"),
)
WORDS = [word for setting in SETTINGS for word in ("--set", setting)]
NETWORK = ("--allow-network", "127.0.0.0/8")


def serve(port: int) -> None:
    """Answer with one image whatever is asked for."""
    from tests.made import jpeg  # noqa: PLC0415 - not by who measures

    image = jpeg(0, side=64)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(image)))
            self.end_headers()
            self.wfile.write(image)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A worker that is killed closes its connections."""

    Server(("127.0.0.1", port), Handler).serve_forever()


def start_roles(roles: Processes, job: Job, *where: str) -> None:
    """Start one process for each role."""
    out = ("--data-dir", str(job.data_dir))
    roles.start("feed", "feed", str(job.tables), *where, *out, *WORDS, *NETWORK)
    roles.start("worker", "worker", *where, *NETWORK)
    roles.start("sink", "sink", *where, *out, *WORDS)


def start_run(roles: Processes, job: Job, *where: str) -> None:
    """Start all of them by one command."""
    out = ("--data-dir", str(job.data_dir))
    roles.start("run", "run", str(job.tables), *where, *out, *WORDS, *NETWORK)


class Case:
    """A job that goes on, once."""

    def __init__(self, job: Job, server: RedisServer, roles: Processes, seconds: float) -> None:
        self._job = job
        self._server = server
        self._roles = roles
        self._seconds = seconds  # to look on for, at most
        self._lane = keys.LaneKeys(job.name)
        self._before = set(job.parts.published())

    def measure(self, start: Callable[..., None]) -> dict[str, Any]:
        """Go on; answers what it took."""
        begun = time.monotonic()
        start(self._roles, self._job, "--redis", self._server.url, "--job", self._job.name)
        with redis.Redis.from_url(self._server.url) as client:
            self._roles.wait_until(lambda: self._completed(client), 600)
            first = time.monotonic() - begun
            self._roles.wait_until(lambda: set(self._job.parts.published()) > self._before, 600)
            part = time.monotonic() - begun
            until = time.monotonic() + self._seconds
            self._roles.wait_until(lambda: time.monotonic() > until or self._planned(client))
            planned = time.monotonic() - begun if self._planned(client) else None
        used = {name: use(pid) for root in self._roles.pids.values() for name, pid in tree(root)}
        return {
            "first_caption_s": round(first, 1),
            "first_part_s": round(part, 1),
            "planned_s": planned and round(planned, 1),
            "used": used | {"redis": redis_use(self._server)},
        }

    def _completed(self, client: "redis.Redis[Any]") -> bool:
        return bool(client.exists(self._lane.captions)) and bool(
            client.xinfo_stream(self._lane.captions)["entries-added"]  # type: ignore[index]
        )

    def _planned(self, client: "redis.Redis[Any]") -> bool:
        return client.hget(self._lane.counts, "plan_done") == b"1"

    def end(self) -> None:
        """Kill all, and delete what they have added."""
        self._roles.kill()
        for part in set(self._job.parts.published()) - self._before:
            self._job.parts.file(part).unlink()
        for part in self._job.parts.unpublished():
            self._job.parts.delete(part)


def tree(pid: int) -> Iterator[tuple[str, int]]:
    """Name a process by its role, and all below it."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if b"caption_flow" in command:
        yield command[command.index(b"caption_flow") + 1].decode(), pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def use(pid: int) -> dict[str, float]:
    """Peak memory and CPU of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return {"peak_mib": round(kib / 1024), "cpu_s": round(cpu_seconds(pid), 1)}


@contextmanager
def images_of(job: Job) -> Iterator[None]:
    """Have the images of a job answered for."""
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(job.port,))
    server.start()
    try:
        yield
    finally:
        server.kill()
        server.join()


def go_on(job: Job, start: Callable[..., None], seconds: float, *, known: bool) -> dict[str, Any]:
    """Measure one case."""
    place = Path(tempfile.mkdtemp(prefix="bench-resume-"))
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        if known:
            remember(job, server, WORDS, place / "before")
        case = Case(job, server, Processes(place / "logs"), seconds)
        try:
            return case.measure(start)
        finally:
            case.end()
            shutil.rmtree(place)


CASES: dict[str, tuple[Callable[..., None], bool]] = {
    "Redis remembers": (start_roles, True),
    "Redis is empty": (start_roles, False),
    "run, Redis is empty": (start_run, False),
}


def main() -> None:
    """Print all cases as JSON and as a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--done", type=int, default=10_000_000)
    parser.add_argument("--left", type=int, default=1_000_000)
    parser.add_argument("--table", type=int, default=100_000, help="rows of a table, a shard each")
    parser.add_argument("--part", type=int, default=10_000, help="rows of a part")
    parser.add_argument("--seconds", type=float, default=60.0, help="to look on after a first part")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    job = made(given.cache, Shape(given.done, given.left, given.table, given.part))
    for name in given.cases:
        start, known = CASES[name]
        with images_of(job):
            found = go_on(job, start, given.seconds, known=known)
        print(json.dumps({"bench": "resume", "case": name, **found}))
        used = ", ".join(
            f"{role} {one['peak_mib']:.0f} MiB and {one['cpu_s']:.1f} s of CPU"
            for role, one in found["used"].items()
        )
        print(
            f"resume, {given.done:,} done and {given.left:,} left, {name}: first caption after "
            f"{found['first_caption_s']} s, first part after {found['first_part_s']} s; {used}",
            flush=True,
        )


if __name__ == "__main__":
    main()
