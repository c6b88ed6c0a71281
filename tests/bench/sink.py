"""Bench: captions a second that a sink writes, against pyarrow alone with the same rows.

    python -m tests.bench.sink [--captions 20000] [--runs 3]

All captions wait in Redis before the sink comes, made by a simulated engine that takes no time. The
plain way reads the rows of the parts into memory, and is measured from there: one file for each
part, compressed alike, synced to the disk; nothing is leased, committed or looked for twice.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.bench.images import jpeg_folder
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned, completed, redis_use
from tests.redis_server import RedisServer

JOB = "bench"
BYTES = 2048
SETTINGS = ("engine=simulated", "vllm.batch_size=64", "simulated.slots=64")


def one_run(folder: Path, count: int) -> dict[str, Any]:
    """Let captions wait, then let a sink write them; gives captions a second, and what it used."""
    place = Path(tempfile.mkdtemp(prefix="bench-sink-"))
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        common = ("--redis", server.url, "--job", JOB)
        making, writing = Processes(place / "made"), Processes(place / "written")
        making.start("feed", "feed", str(folder), *common, *changes)
        making.start("worker", "worker", *common)
        making.wait_until(lambda: completed(server, JOB) == count)
        before = redis_use(server)["cpu_s"]
        begun = time.monotonic()
        out = ("--data-dir", str(place / "out"))
        writing.start("sink", "sink", *common, *out, *changes, "--exit-when-done")
        writing.wait_until(lambda: captioned(server, JOB) == count)
        seconds = time.monotonic() - begun
        used = writing.wait()
        used["redis"] = {"cpu_s": round(redis_use(server)["cpu_s"] - before, 2)}
        making.stop()
    plain = plain_rate(place / "out" / JOB, place / "plain")
    shutil.rmtree(place)
    rate = count / seconds
    return {"captions_per_s": rate, "plain_per_s": plain, "ratio": rate / plain, "used": used}


def plain_rate(parts: Path, folder: Path) -> float:
    """Write the rows of all parts once more, as plainly as can be; gives rows a second."""
    tables = [pq.read_table(part, partitioning=None) for part in sorted(parts.glob("*.parquet"))]
    folder.mkdir()
    begun = time.monotonic()
    for number, table in enumerate(tables):
        with (folder / f"{number}.parquet").open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
    return sum(table.num_rows for table in tables) / (time.monotonic() - begun)


def main() -> None:
    """Print the runs as JSON and their medians as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = jpeg_folder(given.cache, given.captions, BYTES)
    runs = [one_run(folder, given.captions) for _ in range(given.runs)]
    print(json.dumps({"bench": "sink", "captions": given.captions, "runs": runs}))
    rate, plain = (
        statistics.median(run[key] for run in runs) for key in ("captions_per_s", "plain_per_s")
    )
    print(f"sink, start-up included: {rate:,.0f} captions/s, pyarrow alone {plain:,.0f}")


if __name__ == "__main__":
    main()
