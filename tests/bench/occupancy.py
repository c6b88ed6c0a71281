"""Bench: how full the worker keeps a simulated engine, at several rates.

    python -m tests.bench.occupancy [--runs 3]

All samples wait in Redis before the worker comes. *Idle* is what the worker says: the share of the
engine's slots that was free while samples waited. *Delivered* does not ask it: captions a second
against what the slots could give, by the mean latency, which a sample of so many meets to a
percent; between a tenth of the samples and the last claim. *Batched* is what the same engine
delivers when it is given as many requests as it has slots, and the next when all of them are done,
with nothing else to do between: what a barrier costs where a caption takes as long however full
the engine is, as on a GPU that is not at its limit.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.simulated import SimulatedEngine
from tests.bench.images import jpeg_folder
from tests.bench.roles import (
    REDIS_OPTIONS,
    Processes,
    captioned,
    completed,
    redis_use,
    worker_figures,
)
from tests.redis_server import RedisServer

JOB = "bench"
BYTES = 16_384  # of an image
BATCHES = 8
STAGE = Stage(name="caption", model="", prompts=("Describe.",))
TOLD = ("claim_ahead", "in_flight", "complete_batch", "free_share", "idle_share")


class Load(Struct, frozen=True):
    """An engine of so many slots, and how long it takes for a caption, on average."""

    slots: int
    latency: float  # seconds; each takes from half of it to one and a half
    images: int

    @property
    def rate(self) -> float:
        """Captions a second that it can give."""
        return self.slots / self.latency

    @property
    def latencies(self) -> tuple[float, float]:
        """The least and the most that a caption takes, in seconds."""
        return self.latency / 2, self.latency * 1.5


LOADS = (Load(32, 0.64, 1500), Load(64, 0.32, 4000), Load(64, 0.064, 12_000))


def occupancy(cache: Path, load: Load, place: Path) -> dict[str, float]:
    """Caption all images by an engine, and tell how full it was."""
    folder = jpeg_folder(cache, load.images, BYTES)
    settings = (
        "engine=simulated",
        f"vllm.batch_size={2 * load.slots}",
        f"simulated.slots={load.slots}",
        f"simulated.latency={list(load.latencies)}",
        "budget.samples=100000",
    )
    changes = [word for setting in settings for word in ("--set", setting)]
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        feeding = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        feeding.start("feed", "feed", str(folder), *common, *changes)
        used = feeding.wait()  # all samples wait before the worker comes
        fed = redis_use(server)["cpu_s"]
        roles = Processes(place / "logs")
        roles.start("worker", "worker", *common, "--exit-when-done")
        roles.start("sink", "sink", *common, "--exit-when-done", "--data-dir", str(place / "out"))
        told: dict[str, float] = {}

        def all_claimed() -> bool:
            waiting, figures = _waiting(server), worker_figures(server, JOB)
            if waiting > 0 and "claim_ahead" in figures:
                told.update(figures)
            return waiting == 0

        roles.wait_until(lambda: completed(server, JOB) >= load.images / 10)
        begun, first = time.monotonic(), completed(server, JOB)
        roles.wait_until(all_claimed)
        rate = (completed(server, JOB) - first) / (time.monotonic() - begun)
        roles.wait_until(lambda: captioned(server, JOB) == load.images)
        redis = redis_use(server)["cpu_s"] - fed
        used |= roles.wait()
    cpu = {role: use["cpu_s"] for role, use in used.items()} | {"redis": redis}
    each = {f"{role}_cpu_ms": 1000 * seconds / load.images for role, seconds in cpu.items()}
    batched = asyncio.run(in_batches(load))
    rates = {"delivered": rate / load.rate, "batched": batched / load.rate, "gain": rate / batched}
    return {**rates, **{name: told[name] for name in TOLD}, **each}


async def in_batches(load: Load) -> float:
    """Captions a second of the engine by itself, with a barrier after as many as it has slots."""
    engine = SimulatedEngine(SimulatedConfig(latency=load.latencies), capacity=load.slots)
    begun = time.monotonic()
    for batch in range(BATCHES):
        names = [f"{batch}-{number}" for number in range(load.slots)]
        requests = [Request(n, n, STAGE, STAGE.prompts[0], data=n.encode()) for n in names]
        await asyncio.gather(*map(engine.caption, requests))
    return BATCHES * load.slots / (time.monotonic() - begun)


def _waiting(server: RedisServer) -> int:
    stream = f"cf:{{{JOB}:0}}:samples:caption"
    waiting: Any = server.client.xlen(stream)
    if server.client.exists(stream):
        pending: Any = server.client.xpending(stream, "workers")
        waiting -= pending["pending"]
    return int(waiting)


def tell(cache: Path, runs: int) -> None:
    """Print the runs as JSON and their medians as lines."""
    for load in LOADS:
        found: list[dict[str, float]] = []
        for number in range(runs):
            place = Path(tempfile.mkdtemp(prefix=f"bench-{number}-"))
            found.append(occupancy(cache, load, place))
            shutil.rmtree(place)
        print(json.dumps({"bench": "occupancy", "rate": load.rate, "runs": found}))
        median = {key: statistics.median(run[key] for run in found) for key in found[0]}
        cpu = ", ".join(
            f"{key.removesuffix('_cpu_ms')} {value:.2f}"
            for key, value in median.items()
            if key.endswith("_cpu_ms")
        )
        print(
            f"occupancy: engine of {load.rate:.0f} captions/s, idle {median['idle_share']:.2%}, "
            f"delivered {median['delivered']:.1%}, {median['gain']:.2f} of what batches with a "
            f"barrier do, ahead {median['claim_ahead']:.0f}, in flight "
            f"{median['in_flight']:.0f} of {load.slots} slots; CPU ms a caption: {cpu}"
        )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    tell(given.cache, given.runs)


if __name__ == "__main__":
    main()
