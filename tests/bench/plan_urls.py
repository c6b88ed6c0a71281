"""Bench: a table of ten million URLs is planned in little memory, and feeding begins at once.

    python -m tests.bench.plan_urls [--rows 10000000] [--formats parquet csv]

A real feeder on a real Redis. Beside it somebody claims and drops the chunks, so that it plans as
fast as it can; a few of them it gets itself and offers. Peak memory of the feeder, seconds from
its start to the first sample offered, and rows planned a second.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import redis

from caption_flow.queue import keys
from tests.bench.tree import peak_mib
from tests.redis_server import RedisServer

JOB = "bench"
SETTINGS = ("dataset.type=urls", "engine=simulated", "budget.samples=2000")
BLOCK = 100_000  # rows written at a time
LANE = keys.LaneKeys(JOB)


def rows(count: int) -> Iterator[pa.Table]:
    """A table as from a crawl: a URL, a text and two sizes."""
    for first in range(0, count, BLOCK):
        numbers = range(first, min(first + BLOCK, count))
        yield pa.table(
            {
                "url": [
                    f"https://i{n % 997}.example.com/a/{n:08x}/{n}.jpg?w=1024" for n in numbers
                ],
                "text": [f"what somebody wrote beside the picture no. {n}" for n in numbers],
                "width": pa.array(numbers, pa.int32()),
                "height": pa.array(numbers, pa.int32()),
            }
        )


def table(cache: Path, count: int, kind: str) -> Path:
    """The table as a file, made unless it is there."""
    path = cache / f"urls-{count}.{kind}"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        open_writer: Callable[..., Any] = (
            pq.ParquetWriter if kind == "parquet" else pyarrow.csv.CSVWriter
        )
        unfinished = path.with_suffix(".part")
        schema = next(rows(1)).schema
        with open_writer(str(unfinished), schema) as writer:
            for block in rows(count):
                writer.write_table(block)
        unfinished.rename(path)
    return path


def drain(client: "redis.Redis[Any]") -> None:
    """Claim and drop what chunks there are."""
    read = client.xreadgroup(keys.FEEDERS, "drain", {LANE.chunks: ">"}, count=64, block=20)
    ids = [entry for _, entries in read for entry, _ in entries]  # type: ignore[union-attr]
    if ids:
        client.xack(LANE.chunks, keys.FEEDERS, *ids)
        client.xdel(LANE.chunks, *ids)


def counts(client: "redis.Redis[Any]", name: str) -> int:
    """One number of the books."""
    return int(client.hget(LANE.counts, name) or 0)  # type: ignore[arg-type]


def plan(path: Path, count: int, place: Path) -> dict[str, float]:
    """Plan one table to its end."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    feed = [sys.executable, "-m", "caption_flow", "feed", str(path), "--job", JOB, *settings]
    place.mkdir()
    with RedisServer(place / "redis") as server, redis.Redis.from_url(server.url) as client:
        begun = time.monotonic()
        with (place / "feed.log").open("wb") as log:
            feeder = subprocess.Popen(
                [*feed, "--redis", server.url], stdout=log, stderr=log, cwd=place
            )
        try:
            wait(feeder, place, lambda: counts(client, "offered") > 0)
            first = time.monotonic() - begun
            wait(feeder, place, lambda: drain(client) or counts(client, "plan_done") > 0)
            seconds = time.monotonic() - begun - first
            planned = counts(client, "planned")
            used = peak_mib(feeder.pid)
        finally:
            feeder.kill()
            feeder.wait()
    if planned != count:
        raise SystemExit(f"{planned:,} samples were planned of {count:,}.")
    return {"first_s": round(first, 2), "peak_mib": used, "rows_per_s": round(count / seconds)}


def wait(feeder: "subprocess.Popen[bytes]", place: Path, condition: Callable[[], bool]) -> None:
    """Wait for a condition while the feeder runs."""
    while not condition():
        if feeder.poll() is not None:
            raise SystemExit(f"The feeder ended: {(place / 'feed.log').read_text()}")
        time.sleep(0.001)


def main() -> None:
    """Print the runs as JSON and as a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--formats", nargs="+", default=["parquet", "csv"])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="bench-plan-"))
    runs = {}
    for kind in given.formats:
        runs[kind] = plan(table(given.cache, given.rows, kind), given.rows, place / kind)
    shutil.rmtree(place)
    print(json.dumps({"bench": "plan_urls", "rows": given.rows, "runs": runs}))
    for kind, run in runs.items():
        print(
            f"{kind}: first sample after {run['first_s']} s, {run['rows_per_s']:,.0f} rows/s "
            f"planned, peak {run['peak_mib']} MiB"
        )


if __name__ == "__main__":
    main()
