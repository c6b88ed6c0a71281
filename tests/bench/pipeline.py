"""Bench: images a second from a folder to Parquet, against the raw Redis loop on the same bytes.

    python -m tests.bench.pipeline [--images 20000] [--bytes 65536] [--runs 3]

One feeder, one worker whose simulated engine takes no time and decodes nothing, one sink and
one Redis with AOF everysec, all on this machine.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.images import jpeg_folder
from tests.bench.raw_loop import raw_rate
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned, redis_use
from tests.redis_server import RedisServer

JOB = "bench"


def one_run(folder: Path, count: int, place: Path, settings: list[str]) -> dict[str, Any]:
    """Run the pipeline once, and the raw loop on the same server just after."""
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        changes = [word for setting in settings for word in ("--set", setting)]
        begun = time.monotonic()
        roles.start("feed", "feed", str(folder), *common, *changes)
        roles.start("worker", "worker", *common, "--exit-when-done")
        out = ("--data-dir", str(place / "out"))
        roles.start("sink", "sink", *common, *out, *changes, "--exit-when-done")
        roles.wait_until(lambda: captioned(server, JOB) == count)
        seconds = time.monotonic() - begun
        used = roles.wait() | {"redis": redis_use(server)}
        raw = raw_rate(server.url, folder, count)
    shutil.rmtree(place)
    rate = count / seconds
    return {"images_per_s": rate, "raw_per_s": raw, "ratio": rate / raw, "used": used}


def main() -> None:
    """Print the runs as JSON and their medians as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=65_536)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = jpeg_folder(given.cache, given.images, given.bytes)
    settings = ["engine=simulated", "vllm.batch_size=64", "simulated.slots=64"]
    runs = []
    for number in range(given.runs):
        place = Path(tempfile.mkdtemp(prefix=f"bench-{number}-"))
        runs.append(one_run(folder, given.images, place, settings))
    print(json.dumps({"bench": "pipeline", "images": given.images, "runs": runs}))
    rate, raw, ratio = (
        statistics.median(run[key] for run in runs)
        for key in ("images_per_s", "raw_per_s", "ratio")
    )
    print(f"pipeline: {rate:,.0f} images/s, raw loop {raw:,.0f}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
