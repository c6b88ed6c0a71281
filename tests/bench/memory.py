"""Bench: memory does not grow with the job.

    python -m tests.bench.memory [--sizes 10000 100000 1000000]

The pipeline with a simulated engine that takes no time, over few small images and over many, with a
budget that all fill; peak memory of every role and of Redis, and its ratio to that of the fewest.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from tests.bench.images import jpeg_folder
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned, redis_use
from tests.redis_server import RedisServer

JOB = "bench"
BYTES = 8192
SETTINGS = ("engine=simulated", "vllm.batch_size=64", "simulated.slots=64")
LIMITS = ("budget.bytes=32MiB", "storage.rows_per_part=2000")


def peaks(folder: Path, count: int) -> dict[str, float]:
    """Peak MiB of every role over one job."""
    place = Path(tempfile.mkdtemp(prefix="bench-memory-"))
    changes = [word for setting in (*SETTINGS, *LIMITS) for word in ("--set", setting)]
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        roles.start("feed", "feed", str(folder), *common, *changes)
        roles.start("worker", "worker", *common, "--exit-when-done")
        out = ("--data-dir", str(place / "out"))
        roles.start("sink", "sink", *common, *out, *changes, "--exit-when-done")
        roles.wait_until(lambda: captioned(server, JOB) == count)
        used = {name: figures["peak_mib"] for name, figures in roles.wait().items()}
        redis = redis_use(server)
    shutil.rmtree(place)
    return used | {"redis": redis["peak_mib"], "redis data": redis["peak_data_mib"]}


def main() -> None:
    """Print all runs as JSON, and the ratios of each to the first as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    runs: dict[int, dict[str, float]] = {}
    for count in given.sizes:
        runs[count] = peaks(jpeg_folder(given.cache, count, BYTES), count)
        print(json.dumps({"bench": "memory", "samples": count, "mib": runs[count]}), flush=True)
    first, *others = given.sizes
    for count in others:
        ratios = ((name, peak / runs[first][name]) for name, peak in runs[count].items())
        said = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios)
        print(f"memory, {count:,} samples against {first:,}: {said}")


if __name__ == "__main__":
    main()
