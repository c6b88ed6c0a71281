"""Bench: what watching costs a job: images a second with watchers against without, by turns.

    python -m tests.bench.watching [--images 3000] [--bytes 16384] [--runs 3]
                                   [--latency 0.2 0.4] [--members 500] [--pages 1]

One feeder, one worker with a simulated engine of 64 slots, one sink, one proxy and one Redis, in
whose list stand many members more. Watchers are `caption-flow monitor` on a terminal, and the page
of the proxy, asked for what an open browser asks for: figures, new captions, and their pictures.
A latency of 0 0 makes the CPU the limit, of which watchers then take their share, where all run on
one machine.
"""

import argparse
import http
import http.client
import json
import os
import pty
import shutil
import statistics
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from caption_flow.queue.keys import JobKeys
from caption_flow.queue.ports import Member
from tests.bench.images import jpeg_folder
from tests.bench.roles import REDIS_OPTIONS, Processes, completed, cpu_seconds, info, redis_use
from tests.redis_server import RedisServer, free_port

JOB = "bench"
PAGE_SECONDS = 2.0  # between two looks of a page
TILES = 24  # pictures that it shows
FROM = 0.1  # share of the images from which on is measured: the start is another matter
ROWS, COLUMNS = 60, 200


class Watchers:
    """A monitor on a terminal, and open pages of a proxy."""

    def __init__(self, url: str, proxy: int, pages: int) -> None:
        """`proxy`: its port. `pages`: how many are open."""
        self._at = ("--redis", url, "--job", JOB)
        self._proxy = proxy
        self._pages = pages
        self._over = threading.Event()
        self.seen = 0  # bytes that the monitor has drawn
        self.monitor_cpu = 0.0  # seconds that it has used
        self.asked = 0  # times that pages have looked
        self.pictures = 0  # that they were given

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for as long as this lasts."""
        terminal, theirs = pty.openpty()
        termios.tcsetwinsize(terminal, (ROWS, COLUMNS))
        monitor = subprocess.Popen(
            [sys.executable, "-m", "caption_flow", "monitor", *self._at],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)
        helpers = [threading.Thread(target=self._read, args=(terminal,))]
        helpers += [threading.Thread(target=self._look) for _ in range(self._pages)]
        for helper in helpers:
            helper.start()
        try:
            yield
        finally:
            self._over.set()
            ended = monitor.poll()
            monitor.kill()
            _, status, usage = os.wait4(monitor.pid, 0) if ended is None else (0, 0, None)
            monitor.returncode = os.waitstatus_to_exitcode(status) if ended is None else ended
            self.monitor_cpu = usage.ru_utime + usage.ru_stime if usage else 0.0
            for helper in helpers:
                helper.join()
            os.close(terminal)
        if ended is not None:
            raise SystemExit(f"The monitor ended with code {ended}.")

    def _read(self, terminal: int) -> None:
        try:
            while data := os.read(terminal, 1 << 16):
                self.seen += len(data)
        except OSError:  # so the monitor is gone
            return

    def _look(self) -> None:
        """Ask for what an open page does."""
        mark, waiting = "", list[str]()
        while not self._over.wait(PAGE_SECONDS):
            self._get("/api/state")
            told = self._get(f"/api/captions?after={quote(mark)}")
            mark = told["mark"]
            waiting = [*waiting, *(key for key, _ in told["rows"])][-TILES:]
            if waiting:
                keys = ",".join(map(quote, waiting))
                shown = self._get(f"/api/thumbnails?keys={keys}")
                self.pictures += len(shown["ready"])
                waiting = shown["later"]
            self.asked += 1

    def _get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"The page said {answer.status}: {body.decode()}")
        return json.loads(body)


def one_run(given: argparse.Namespace, *, watched: bool) -> dict[str, Any]:
    """Run the job once; answers its rate, and what Redis and the watchers used."""
    place = Path(tempfile.mkdtemp(prefix="bench-watching-"))
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles, port = Processes(place / "logs"), free_port()
        watchers = Watchers(server.url, port, given.pages)
        _add_members(server, given.members)
        _start(roles, server, place, port, given)
        roles.wait_until(lambda: completed(server, JOB) >= FROM * given.images)
        begun, already = time.monotonic(), completed(server, JOB)
        before = cpu_seconds(roles.pids["proxy"])
        if watched:
            with watchers.watching():
                roles.wait_until(lambda: completed(server, JOB) == given.images)
        else:
            roles.wait_until(lambda: completed(server, JOB) == given.images)
        seconds = time.monotonic() - begun
        proxy_cpu = cpu_seconds(roles.pids["proxy"]) - before
        commands = info(server)["total_commands_processed"]
        redis_s = redis_use(server)["cpu_s"]
        roles.stop()
    shutil.rmtree(place)
    return {
        "watched": watched,
        "images_per_s": round((given.images - already) / seconds, 1),
        "seconds": round(seconds, 2),
        "proxy_cpu_s": round(proxy_cpu, 2),
        "monitor_cpu_s": round(watchers.monitor_cpu, 2),
        "redis_cpu_s": redis_s,
        "redis_commands": commands,
        "monitor_bytes": watchers.seen,
        "page_looks": watchers.asked,
        "page_pictures": watchers.pictures,
    }


def _start(
    roles: Processes, server: RedisServer, place: Path, port: int, given: argparse.Namespace
) -> None:
    common = ("--redis", server.url, "--job", JOB)
    settings = ["engine=simulated", "vllm.batch_size=64", "simulated.slots=64"]
    settings.append(f"simulated.latency={given.latency}")
    out = _changes([f"storage.data_dir={place / 'out'}"])
    pictures = _changes([f"dataset.dataset_path={given.folder}"])
    at = ("--host", "127.0.0.1", "--port", str(port))
    roles.start("feed", "feed", str(given.folder), *common, *_changes(settings))
    roles.start("worker", "worker", *common)
    roles.start("sink", "sink", *common, *out)
    roles.start("proxy", "proxy", *common, *at, *out, *pictures)


def _changes(settings: list[str]) -> list[str]:
    return [word for one in settings for word in ("--set", one)]


def _add_members(server: RedisServer, count: int) -> None:
    """Let many workers stand in the list, as if they had just been heard of."""
    figures = {"slots": 64.0, "running": 60.0, "samples": 1e5, "captions": 1e5, "images": 1e5}
    figures |= {"free_lately": 0.05, "idle_lately": 0.0, "gpu_memory_used": 7e10, "gpu_use": 0.9}
    facts = {"version": "1.0", "engine": "vllm", "model": "someone/some-model-7b", "gpu": "a GPU"}
    for number in range(count):
        name = f"host{number}-worker-{number:06x}"
        seen = time.time() + 3600
        word = Member("worker", name, f"host{number}", 1, 0.0, seen, "working", figures, facts)
        written = msgspec.json.encode(word).decode()
        server.client.hset(JobKeys(JOB).members, f"worker:{name}", written)


def main() -> None:
    """Print the runs as JSON, and a line on what watching costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--bytes", type=int, default=16_384)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs=2, default=[0.2, 0.4])
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    given.folder = jpeg_folder(given.cache, given.images, given.bytes)
    runs = [
        one_run(given, watched=watched)
        for number in range(given.runs)
        # Each goes first as often as the other: machines grow warm, and others come and go.
        for watched in ((False, True), (True, False))[number % 2]
    ]
    print(json.dumps({"bench": "watching", "latency": given.latency, "runs": runs}))
    rates = {
        watched: statistics.median(r["images_per_s"] for r in runs if r["watched"] is watched)
        for watched in (False, True)
    }
    monitor, proxy = (
        statistics.median(run[used] / run["seconds"] for run in runs if run["watched"])
        for used in ("monitor_cpu_s", "proxy_cpu_s")
    )
    print(
        f"watching: {rates[True]:,.0f} images/s against {rates[False]:,.0f}, "
        f"ratio {rates[True] / rates[False]:.3f}; "
        f"the monitor took {monitor:.0%} of a core, the proxy {proxy:.0%}"
    )


if __name__ == "__main__":
    main()
