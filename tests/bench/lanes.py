"""Bench: a job of four lanes on one, two and four Redis processes.

    python -m tests.bench.lanes [--images 4000] [--bytes 4096 65536]

The pipeline with the simulated engine, on clusters whose masters have as many of the lanes as each
other. Where cores are few, the roles share them with Redis: then images a second say little, and
the CPU seconds of the busiest Redis say how far one of them is from being what limits a job.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from caption_flow.queue.keys import LaneKeys
from tests.bench.images import jpeg_folder
from tests.bench.roles import Processes, redis_use
from tests.redis_cluster import RedisCluster

LANES = 4
MASTERS = (1, 2, 4)
SETTINGS = ("engine=simulated", "vllm.batch_size=64", "simulated.slots=64", f"lanes={LANES}")


def spread_job(cluster: RedisCluster, masters: int) -> str:
    """Name a job whose lanes all masters have alike."""
    for number in count():
        job = f"bench{number}"
        places = Counter(cluster.master_of(LaneKeys(job, lane).counts) for lane in range(LANES))
        if len(places) == masters and len(set(places.values())) == 1:
            return job
    raise AssertionError


def captioned(cluster: RedisCluster, job: str) -> int:
    """Samples of all lanes that are in a part."""
    total = 0
    for lane in range(LANES):
        key = LaneKeys(job, lane).counts
        answer: Any = cluster.masters[cluster.master_of(key)].client.hget(key, "captioned")
        total += int(answer or 0)
    return total


def one_run(folder: Path, images: int, masters: int) -> dict[str, Any]:
    """Run the pipeline once."""
    place = Path(tempfile.mkdtemp(prefix="bench-lanes-"))
    (place / "redis").mkdir()
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    with RedisCluster(place / "redis", masters=masters, replicas=False) as cluster:
        job, roles = spread_job(cluster, masters), Processes(place / "logs")
        common = ("--redis", cluster.url, "--job", job)
        begun = time.monotonic()
        roles.start("feed", "feed", str(folder), *common, *changes, "--set", "chunk_size=100")
        roles.start("worker", "worker", *common, "--exit-when-done")
        out = ("--data-dir", str(place / "out"))
        roles.start("sink", "sink", *common, *out, *changes, "--exit-when-done")
        roles.wait_until(lambda: captioned(cluster, job) == images)
        seconds = time.monotonic() - begun
        used: dict[str, Any] = roles.wait()
        used["redis"] = [redis_use(master)["cpu_s"] for master in cluster.masters]
    shutil.rmtree(place)
    return {"masters": masters, "images_per_s": round(images / seconds, 1), "used": used}


def main() -> None:
    """Print the runs as JSON and a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--bytes", type=int, nargs="+", default=[4_096, 65_536])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    for size in given.bytes:
        folder = jpeg_folder(given.cache, given.images, size)
        for masters in MASTERS:
            run = one_run(folder, given.images, masters)
            print(json.dumps({"bench": "lanes", "bytes": size, "images": given.images, **run}))
            used = run["used"]
            roles = ", ".join(
                f"{name} {used[name]['cpu_s']} s" for name in ("feed", "worker", "sink")
            )
            print(
                f"{run['masters']} Redis, {size:,} bytes: {run['images_per_s']:,} images/s; CPU: "
                f"{roles}, Redis {' + '.join(f'{cpu} s' for cpu in used['redis'])}"
            )


if __name__ == "__main__":
    main()
