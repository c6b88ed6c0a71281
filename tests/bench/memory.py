"""Bench: memory does not grow with the job.

    python -m tests.bench.memory [--small 5000] [--large 50000]

The pipeline with the simulated engine over few and over many images, with a budget that both
fill; peak memory of every role and of Redis, and the ratio of the two.
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
BYTES = 16_384
SETTINGS = ("engine=simulated", "simulated.latency=[0.05,0.1]", "vllm.batch_size=64")
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
    """Print both runs as JSON and the ratios as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=5_000)
    parser.add_argument("--large", type=int, default=50_000)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    small, large = (
        peaks(jpeg_folder(given.cache, count, BYTES), count) for count in (given.small, given.large)
    )
    ratios = {name: round(large[name] / small[name], 2) for name in small}
    print(json.dumps({"bench": "memory", "small": small, "large": large, "ratios": ratios}))
    said = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    print(f"memory, {given.large:,} samples against {given.small:,}: {said}")


if __name__ == "__main__":
    main()
