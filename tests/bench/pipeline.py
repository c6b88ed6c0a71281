"""Bench: images a second from a folder to Parquet, against the raw Redis loop and against others.

    python -m tests.bench.pipeline [--images 20000] [--bytes 65536] [--runs 3] [--decode]
                                   [--peers FOLDER]

One feeder, one worker whose simulated engine takes no time, one sink and one Redis with AOF
everysec, all on this machine; images are decoded on demand. Peers do the same work with the same
images in venvs of their own, which are made in that folder: read, caption as the simulated engine
does, write ids and captions to Parquet. Start-up is included, theirs as ours; `work_per_s` of a
peer is without it, as is what an image costs each of our roles in microseconds of CPU.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.images import jpeg_folder
from tests.bench.peers.venvs import PEERS, measured
from tests.bench.raw_loop import raw_rate
from tests.bench.roles import (
    REDIS_OPTIONS,
    Processes,
    captioned,
    completed,
    cpu_seconds,
    redis_pid,
    redis_use,
)
from tests.bench.tree import Tree
from tests.redis_server import RedisServer

JOB = "bench"
STEADY = 0.1, 0.9  # of the images, between which all roles are at work


def one_run(folder: Path, count: int, place: Path, settings: list[str]) -> dict[str, Any]:
    """Run the pipeline once, and the raw loop on the same server just after."""
    with (
        Tree(os.getpid()) as tree,
        RedisServer(place / "redis", *REDIS_OPTIONS) as server,
    ):
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        changes = [word for setting in settings for word in ("--set", setting)]
        begun = time.monotonic()
        roles.start("feed", "feed", str(folder), *common, *changes)
        roles.start("worker", "worker", *common, "--exit-when-done")
        out = ("--data-dir", str(place / "out"))
        roles.start("sink", "sink", *common, *out, *changes, "--exit-when-done")
        steady = steady_cpu(server, roles, count)
        roles.wait_until(lambda: captioned(server, JOB) == count)
        seconds = time.monotonic() - begun
        peak = tree.used.peak_mib  # before the raw loop
        used = roles.wait() | {"redis": redis_use(server)}
        raw = raw_rate(server.url, folder, count)
    shutil.rmtree(place)
    rate = count / seconds
    together = {"cpu_s": round(sum(u["cpu_s"] for u in used.values()), 2), "peak_mib": peak}
    found = {"images_per_s": rate, "raw_per_s": raw, "ratio": rate / raw}
    return {**found, "together": together, "used": used, "cpu_us_per_image": steady}


def steady_cpu(server: RedisServer, roles: Processes, count: int) -> dict[str, float]:
    """Measure what an image costs each process while all are at work, in microseconds of CPU."""
    pids = roles.pids | {"redis": redis_pid(server)}

    def seen_at(share: float) -> tuple[int, dict[str, float]]:
        roles.wait_until(lambda: completed(server, JOB) >= share * count)
        return completed(server, JOB), {name: cpu_seconds(pid) for name, pid in pids.items()}

    (first, before), (last, after) = map(seen_at, STEADY)
    return {name: round(1e6 * (after[name] - before[name]) / (last - first)) for name in pids}


def line(runs: Sequence[Mapping[str, Any]], what: str) -> str:
    """Say the medians, and how the peers did."""
    rate, raw, ratio = (
        statistics.median(run[key] for run in runs)
        for key in ("images_per_s", "raw_per_s", "ratio")
    )
    said = f"pipeline, {what}: {rate:,.0f} images/s, raw loop {raw:,.0f}, ratio {ratio:.2f}"
    costs = [run["cpu_us_per_image"] for run in runs]
    told = {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
    each = ", ".join(f"{name} {cost:.0f}" for name, cost in told.items())
    said += f"; {sum(told.values()):.0f} us of CPU an image ({each})"
    for name, first in runs[0].get("peers", {}).items():
        told = [run["peers"][name] for run in runs if "missing" not in run["peers"][name]]
        if not told:
            said += f"; {name} cannot run here: {first['missing']}"
            continue
        theirs, work, cpu = (
            statistics.median(one[key] for one in told)
            for key in ("images_per_s", "work_per_s", "cpu_s")
        )
        said += f"; {name} {theirs:,.0f} ({work:,.0f} without its start, {cpu:.1f} CPU s)"
    return said


def main() -> None:
    """Print the runs as JSON and their medians as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=65_536)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--peers", type=Path, help="where their venvs are made; none run without")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = jpeg_folder(given.cache, given.images, given.bytes)
    settings = ["engine=simulated", "vllm.batch_size=64", "simulated.slots=64"]
    flags = ["--decode"] if given.decode else []
    if given.decode:
        settings.append("simulated.decode=true")
    runs = []
    for number in range(given.runs):
        place = Path(tempfile.mkdtemp(prefix=f"bench-{number}-"))
        runs.append(one_run(folder, given.images, place, settings))
        if given.peers:
            peers = {p.name: measured(p, given.peers.absolute(), folder, *flags) for p in PEERS}
            runs[-1]["peers"] = peers
    case = "images decoded" if given.decode else "nothing decoded"
    told = {"bench": "pipeline", "case": case, "images": given.images, "runs": runs}
    print(json.dumps(told))
    print(line(runs, case))


if __name__ == "__main__":
    main()
