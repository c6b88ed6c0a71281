"""Bench: images a second through a proxy, against the same workers on Redis.

    python -m tests.bench.proxy [--workers 1 8 64] [--images 3000] [--bytes 65536] [--runs 1]

The images lie in Redis beforehand and the captions stay there, so that only workers, proxy and
Redis have anything to do. The workers (two processes of several each; the simulated engine without
latency or decoding) connect while the job is paused. All share the cores, so that what counts is
images per CPU second of all parts together: with the engine, and without what it takes by itself.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.simulated import SimulatedEngine
from tests.bench.images import jpeg_folder
from tests.bench.roles import MIB, REDIS_OPTIONS, Processes, completed, cpu_seconds, redis_use
from tests.redis_server import RedisServer, free_port

JOB, TOKEN = "bench", "cf_token_of_the_bench"
WAYS = ("redis", "ws", "wss")
PROCESSES = 2  # of workers, where there are so many
SLOTS = 128  # requests of all workers together, but no less than 8 of each
EDGE = 0.1  # of the images at either end are not counted: workers begin and end


class Bench:
    """A job whose images wait, and workers that come to it in one way."""

    def __init__(self, server: RedisServer, place: Path, folder: Path, count: int) -> None:
        """Leave the job paused, with its images in Redis."""
        self._server = server
        self._place = place
        self._count = count
        self.roles = Processes(place / "logs")
        self._common = ("--redis", server.url, "--job", JOB)
        self._run("feed", "feed", str(folder), *self._common, *_settings())
        self._run("pause", "pause", *self._common)

    def measure(self, way: str, workers: int) -> dict[str, Any]:
        """Caption the images; answers the rate and CPU seconds of each part per 1,000 images."""
        self._start(way, workers)
        self.roles.wait_until(lambda: self._members() >= workers)
        time.sleep(2.0)  # connected, they open their channels and give credit
        before = self._used()
        self.resume()
        edge = int(EDGE * self._count)
        self.roles.wait_until(lambda: completed(self._server, JOB) >= edge)
        first, begun = completed(self._server, JOB), time.monotonic()
        self.roles.wait_until(lambda: completed(self._server, JOB) >= self._count - edge)
        done, seconds = completed(self._server, JOB) - first, time.monotonic() - begun
        self.roles.wait_until(lambda: completed(self._server, JOB) >= self._count)
        after = self._used()
        used = {part: 1000 * (after[part] - before[part]) / self._count for part in after}
        return {"images_per_s": done / seconds, "cpu_per_1000": used}

    def close(self) -> None:
        """End all."""
        self.roles.stop()

    def resume(self) -> None:
        """Let the job go on."""
        self._run("resume", "resume", *self._common)

    def _run(self, name: str, *words: str) -> None:
        self.roles.start(name, *words)
        self.roles.wait_for(name)

    def _start(self, way: str, workers: int) -> None:
        words = self._common if way == "redis" else self.start_proxy(tls=way == "wss")
        processes = min(PROCESSES, workers)
        size = ("--batch-size", str(max(8, SLOTS // workers)))
        for number in range(processes):
            count = workers // processes
            program = ("tests.bench.crews", str(count), *words, *size)
            self.roles.start(f"crews-{number}", *program[1:], module=program[0])

    def start_proxy(self, *, tls: bool) -> tuple[str, ...]:
        """Open a proxy; answers the flags of who comes through it."""
        document = self._place / "proxy.yaml"
        tokens = [{"name": "bench", "token": TOKEN}]
        limits = {"handshakes_per_minute": 100_000}
        document.write_text(json.dumps({"auth": {"worker_tokens": tokens}, "proxy": limits}))
        certs = self._place / "certs"
        way: tuple[str, ...] = ("--no-ssl",)
        if tls:
            names = ("--self-signed", "--domain", "localhost", "--output-dir", str(certs))
            self._run("certs", "generate_cert", *names)
            way = ("--cert", str(certs / "cert.pem"), "--key", str(certs / "key.pem"))
        port = str(free_port())
        where = ("--host", "127.0.0.1", "--port", port)
        self.roles.start("proxy", "proxy", *self._common, "--config", str(document), *where, *way)
        self.roles.wait_until(lambda: "Serving job" in self.roles.said("proxy"))
        trust = ("--ca-cert", str(certs / "cert.pem")) if tls else ()
        url = f"{'wss' if tls else 'ws'}://localhost:{port}"
        return ("--server", url, "--token", TOKEN, *trust)

    def _members(self) -> int:
        names: Any = self._server.client.hkeys(f"cf:{{{JOB}}}:members")
        return sum("-crew" in name for name in names)

    def _used(self) -> dict[str, float]:
        """CPU seconds of each part so far."""
        used = {"workers": 0.0, "proxy": 0.0, "redis": redis_use(self._server)["cpu_s"]}
        for name, pid in self.roles.pids.items():
            part = "workers" if name.startswith("crews") else name
            if part in used:
                used[part] += cpu_seconds(pid)
        return used


def engine_cost(folder: Path, count: int) -> float:
    """CPU seconds that the engine takes by itself for 1,000 images."""
    images = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:count]]
    stage = Stage(name="caption", model="", prompts=("Describe this image.",))
    engine = SimulatedEngine(SimulatedConfig(decode=False), capacity=1)

    async def caption_all() -> None:
        for image in images:
            await engine.caption(Request("", "", stage, stage.prompts[0], image))

    begun = time.process_time()
    asyncio.run(caption_all())
    return 1000 * (time.process_time() - begun) / len(images)


def one_run(folder: Path, count: int, workers: int) -> dict[str, Any]:
    """Measure each way with so many workers, one just after the other."""
    found = {}
    for way in WAYS:
        place = Path(tempfile.mkdtemp(prefix="bench-"))
        with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
            bench = Bench(server, place, folder, count)
            found[way] = bench.measure(way, workers)
            bench.close()
        shutil.rmtree(place)
    return found


def per_core(measured: dict[str, Any], engine: float = 0.0) -> float:
    """Images per CPU second of all parts together, but for what the engine takes."""
    return 1000 / (sum(measured["cpu_per_1000"].values()) - engine)


def _against(run: dict[str, Any], way: str, engine: float) -> float:
    return per_core(run[way], engine) / per_core(run["redis"], engine)


def told(runs: Sequence[dict[str, Any]], workers: int, size: int, engine: float) -> str:
    """Say what came of it, in medians."""
    lines = [f"{workers} workers:"]
    for way in WAYS:
        rate = statistics.median(run[way]["images_per_s"] for run in runs)
        parts = {
            part: statistics.median(run[way]["cpu_per_1000"][part] for run in runs)
            for part in runs[0][way]["cpu_per_1000"]
        }
        whole, path = (
            statistics.median(
                per_core(run[way], less) / per_core(run["redis"], less) for run in runs
            )
            for less in (0.0, engine)
        )
        used = ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items())
        lines.append(
            f"  {way:5} {rate:6,.0f} images/s, {rate * size / MIB:5,.0f} MiB/s; CPU s per 1,000 "
            f"images: {used}; per core {whole:.2f} of Redis directly, {path:.2f} without the engine"
        )
    return "\n".join(lines)


def _settings() -> list[str]:
    values = (
        *("engine=simulated", "simulated.slots=64", "vllm.batch_size=64"),
        *("budget.bytes=8gb", "budget.samples=1000000"),
    )
    return [word for value in values for word in ("--set", value)]


def main() -> None:
    """Print the runs as JSON and their medians as lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--bytes", type=int, default=65_536)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = jpeg_folder(given.cache, given.images, given.bytes)
    engine = engine_cost(folder, given.images)
    print(f"the engine by itself: {engine:.2f} CPU s per 1,000 images", flush=True)
    for workers in given.workers:
        runs = [one_run(folder, given.images, workers) for _ in range(given.runs)]
        print(json.dumps({"bench": "proxy", "workers": workers, "engine": engine, "runs": runs}))
        print(told(runs, workers, given.bytes, engine), flush=True)


if __name__ == "__main__":
    main()
