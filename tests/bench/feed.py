"""Bench: images a second that a feeder reads of each kind of data set, against the field's reader.

    python -m tests.bench.feed [--images 5000] [--bytes 65536] [--runs 3]

Four rates on the same bytes, which are warm in the page cache: the field's own reader alone; our
source alone; the field's reader with a plain client that adds each image to a Redis stream; and our
feeder with all it does besides, from listing to the offer. One process each, and one Redis.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import redis

from caption_flow.config.broadcast import broadcast
from caption_flow.config.schema import ImagesConfig, JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source
from caption_flow.feed.feeder import Feeder
from caption_flow.feed.planner import Planner
from caption_flow.feed.whereabouts import FolderWhereabouts
from caption_flow.lifecycle import Drain
from caption_flow.queue.connect import connect
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Budget, Settings
from tests.bench.feed_kinds import KINDS, Kind
from tests.bench.raw_loop import PIPELINE
from tests.bench.roles import REDIS_OPTIONS
from tests.redis_server import RedisServer

CHUNK = 1000  # samples, as by default


def images_of(source: Source) -> Iterable[bytes]:
    """All images of a source, read as a feeder reads them."""
    for shard in source.shards():
        fingerprint = source.fingerprint(shard)
        names = source.names(shard, None)
        while run := list(itertools.islice(names, CHUNK)):
            for raw in source.samples(shard, run, fingerprint):
                assert not raw.error, raw.error
                yield raw.image


def consumed(images: Iterable[bytes]) -> int:
    """Read all; answers the bytes."""
    return sum(map(len, images))


def pushed(url: str, images: Iterable[bytes]) -> int:
    """Read all and add each to a stream; answers the bytes."""
    client = redis.Redis.from_url(url)
    pipe = client.pipeline(transaction=False)
    size = 0
    for added, image in enumerate(images, start=1):
        size += len(image)
        pipe.xadd("raw", {"image": image})
        if added % PIPELINE == 0:
            pipe.execute()
    pipe.execute()
    client.close()
    return size


def fed(url: str, source: Source, place: Path) -> int:
    """Feed all; answers the bytes."""
    return asyncio.run(_fed(url, source, place))


async def _fed(url: str, source: Source, place: Path) -> int:
    drain = Drain()
    told = broadcast(JobConfig(engine="simulated")).encode()
    async with connect(url, role="feed") as connections:
        queue = RedisFeedQueue(
            RedisJob(connections, "bench"), name="feed", stages=["caption"], lease_seconds=60
        )
        await queue.publish(told, "bench")
        planner = Planner(
            queue,
            source,
            FolderWhereabouts(queue, PartFolder(place / "data", "bench")),
            introduce=lambda: queue.remind(Settings(1, told), "bench"),
            chunk_size=CHUNK,
            drain=drain,
        )
        budget = Budget(bytes=1 << 40, samples=1 << 40)
        feeder = Feeder(
            queue,
            source,
            planner,
            images=ImagesConfig(),
            budget=budget,
            lease_seconds=60,
            drain=drain,
            paused=lambda: False,
        )
        await feeder.run()
        assert feeder.tally.failed == 0
        return feeder.tally.bytes


WAYS: dict[str, Callable[[Kind, Path, str, Path], int]] = {
    "reader": lambda kind, place, _url, _scratch: consumed(kind.read(place)),
    "source": lambda kind, place, _url, _scratch: consumed(images_of(kind.source(place))),
    "reader_and_redis": lambda kind, place, url, _scratch: pushed(url, kind.read(place)),
    "feeder": lambda kind, place, url, scratch: fed(url, kind.source(place), scratch),
}


def timed(way: str, type_: str, place: Path, url: str, scratch: Path) -> tuple[int, float]:
    """Go one way; answers the bytes and the seconds, without those of loading code."""
    [kind] = (kind for kind in KINDS if kind.type == type_)
    for images in (kind.read(place), images_of(kind.source(place))):
        consumed(itertools.islice(images, CHUNK))
    begun = time.monotonic()
    size = WAYS[way](kind, place, url, scratch)
    return size, time.monotonic() - begun


def rates(kind: Kind, place: Path, count: int, scratch: Path) -> dict[str, float]:
    """Images a second of the four ways, one after another."""
    found, sizes = {}, set()
    fresh = multiprocessing.get_context("spawn")
    with RedisServer(scratch / "redis", *REDIS_OPTIONS) as server:
        for way in WAYS:
            # What one way leaves behind of memory must cost no other any time.
            with ProcessPoolExecutor(1, mp_context=fresh) as process:
                going = process.submit(timed, way, kind.type, place, server.url, scratch)
                size, seconds = going.result()
            sizes.add(size)
            found[way] = count / seconds
            redis.Redis.from_url(server.url).flushall()
    assert len(sizes) == 1, sizes
    found["source_ratio"] = found["source"] / found["reader"]
    found["feeder_ratio"] = found["feeder"] / found["reader_and_redis"]
    return found


def main() -> None:
    """Print all runs as JSON and the medians as a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--bytes", type=int, default=65_536)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kind", action="append", choices=[kind.type for kind in KINDS])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    for kind in KINDS:
        if given.kind and kind.type not in given.kind:
            continue
        place = kind.made(given.cache, given.images, given.bytes)
        consumed(kind.read(place))  # so that all find it in the page cache
        runs = []
        for number in range(given.runs):
            with tempfile.TemporaryDirectory(prefix=f"bench-{number}-") as scratch:
                runs.append(rates(kind, place, given.images, Path(scratch)))
        print(
            json.dumps({"bench": "feed", "kind": kind.type, "images": given.images, "runs": runs})
        )
        medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        said = ", ".join(
            f"{name} {rate:.2f}" if "ratio" in name else f"{name} {rate:,.0f}/s"
            for name, rate in medians.items()
        )
        print(f"feed, {kind.type}: {said}")


if __name__ == "__main__":
    main()
