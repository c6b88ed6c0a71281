"""Bench: memory of a feeder does not grow with the shards of its data set.

    python -m tests.bench.feed_memory [--small 10] [--large 1000] [--samples 100]

A real feeder offers all samples of few and of many shards, of as many samples each, to a Redis
that keeps them: its peak memory over both, and their ratio, for each kind of data set.
"""

import argparse
import json
import tempfile
from multiprocessing import get_context
from pathlib import Path

from tests.bench.roles import REDIS_OPTIONS, Processes, counted
from tests.redis_server import RedisServer

TYPES = ("folder", "webdataset", "huggingface")
BYTES = 2048  # of an image
SETTINGS = ("engine=simulated", "budget.bytes=64GiB", "budget.samples=1000000000")


def make(type_: str, place: Path, count: int, samples: int) -> None:
    """Make a data set of so many shards."""
    # Not by who starts feeders: the peak of a process counts that of the one it was forked from.
    from tests.bench.feed_kinds import KINDS  # noqa: PLC0415 - takes 200 MiB
    from tests.made import jpeg  # noqa: PLC0415 - as well

    kind = next(kind for kind in KINDS if kind.type == type_)
    image = jpeg(0).ljust(BYTES - 8, b"\0")  # bytes after its end are ignored
    for number in range(count * samples):
        file = place / "images" / f"{number // samples:05}" / f"{number:08}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image + number.to_bytes(8, "big"))
    (place / "set").mkdir()
    kind.make(place / "images", place / "set", samples)


def peak(type_: str, count: int, samples: int) -> float:
    """Peak MiB of a feeder of so many shards."""
    with tempfile.TemporaryDirectory(prefix="bench-feed-memory-") as scratch:
        place = Path(scratch)
        making = get_context("spawn").Process(target=make, args=(type_, place, count, samples))
        making.start()
        making.join()
        chosen = (f"dataset.type={type_}", f"dataset.cache_dir={place / 'cache'}")
        words = [word for setting in (*SETTINGS, *chosen) for word in ("--set", setting)]
        with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
            roles = Processes(place / "logs")
            where = ("--redis", server.url, "--job", "bench")
            roles.start("feed", "feed", str(place / "set"), *where, *words)
            used = roles.wait()["feed"]["peak_mib"]
            offered = counted(server, "bench", "offered")
    if offered != count * samples:
        raise SystemExit(f"{offered:,} of {count * samples:,} samples were offered.")
    return used


def main() -> None:
    """Print all peaks as JSON and a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=10)
    parser.add_argument("--large", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=100)
    given = parser.parse_args()
    for type_ in TYPES:
        small, large = (peak(type_, n, given.samples) for n in (given.small, given.large))
        ratio = round(large / small, 2)
        found = {"small": small, "large": large, "ratio": ratio}
        print(json.dumps({"bench": "feed_memory", "kind": type_, **found}))
        print(
            f"feed_memory, {type_}: {large:.0f} MiB over {given.large:,} shards, "
            f"{small:.0f} over {given.small:,}, ratio {ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
