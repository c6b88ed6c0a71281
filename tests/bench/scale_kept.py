"""Bench, scale: bytes of Redis for each thing that is kept, and what it costs to look at them all.

Things are made as the roles make them, on the real scripts, and the server's `used_memory` is
read before and after.
"""

import time
from collections.abc import Awaitable
from typing import Any

import msgspec

from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from tests.bench.roles import redis_use
from tests.bench.scale_sum import Size
from tests.monitor.crowd import beat_all
from tests.queue.shop import Shop, recorded
from tests.redis_server import RedisServer

_SETTINGS = msgspec.json.encode({"stages": [{"name": "caption"}]})
_SHARDS, _PARTS, _LOOKS = 2_000, 2_000, 5


async def kept(connections: Connections, server: RedisServer, size: Size) -> dict[str, float]:
    """Make things of each kind; answers bytes of one, and seconds of a look at all."""
    shop = Shop(connections)
    await shop.feeder().publish(_SETTINGS, "data")
    grown = _Growth(shop.redis)
    units = {
        "sample_bytes": await grown.by(20_000, _samples(shop, 20_000)),
        "shard_bytes": await grown.by(_SHARDS, _shards(shop, _SHARDS)),
        "part_bytes": await grown.by(_PARTS, _parts(shop, _PARTS)),
        "member_bytes": await grown.by(size.workers, beat_all(shop.job, size.workers)),
        "contributor_bytes": await grown.by(size.contributors, _credit(shop, size.contributors)),
    }
    return units | await _looks(RedisInspector(connections, "job"), server)


class _Growth:
    """How much memory of a server each of some things takes."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    async def by(self, count: int, made: Awaitable[None]) -> float:
        before = await self._used()
        await made
        return (await self._used() - before) / count

    async def _used(self) -> int:
        return int((await self._redis.info("memory"))["used_memory"])


async def _samples(shop: Shop, count: int) -> None:
    """Offer samples whose images workers fetch: what an image itself takes is its own size."""
    for _ in range(count // 1000):
        await shop.offer(1000)


async def _shards(shop: Shop, count: int) -> None:
    for number in range(count):
        await shop.plan(1, shard=f"train-{number:05}-of-99999.tar")


async def _parts(shop: Shop, count: int) -> None:
    sink = shop.sink()
    record = recorded([])
    for number in range(count):
        await sink.record_part(f"part-{number:012}-{'0' * 12}.parquet", record)


async def _credit(shop: Shop, count: int) -> None:
    """Let each contributor have made some captions, and have been connected for a while."""
    inspector = shop.inspector
    fields = ("captions", "prompt_tokens", "output_tokens", "failures")
    for number in range(count):
        name = f"contributor-{number:05}"
        await inspector.spent(name, 3600.0, anonymous=False)
        made = {f"{name}:{field}": 10_000 + number for field in fields}
        await shop.redis.hset(shop.lane.contributors, mapping=made)


async def _looks(inspector: RedisInspector, server: RedisServer) -> dict[str, float]:
    """Look at the job as `status` and `monitor` do: the first time, and again and again."""
    begun = time.process_time()
    await inspector.snapshot()
    first = time.process_time() - begun
    begun, spent = time.process_time(), redis_use(server)["cpu_s"]
    for _ in range(_LOOKS):
        await inspector.snapshot()
    return {
        "first_look_s": first,
        "look_s": (time.process_time() - begun) / _LOOKS,
        "look_redis_s": (redis_use(server)["cpu_s"] - spent) / _LOOKS,
    }
