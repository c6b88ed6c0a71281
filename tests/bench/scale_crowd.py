"""Bench, scale: what as many workers as a large job has cost Redis, by real queues of theirs."""

import asyncio
import itertools
import time

from msgspec.structs import replace

from caption_flow.ear import LOOK_SECONDS
from caption_flow.herald import BEAT_SECONDS
from caption_flow.lifecycle import cancel
from caption_flow.queue.connect import connect
from caption_flow.queue.work import RedisWorkQueue
from tests.bench.roles import redis_use
from tests.monitor.crowd import worker as word_of
from tests.queue.shop import PLENTY, Shop, done, offer_of
from tests.redis_server import RedisServer

FEW, CLAIM, OFFER, CHUNK = 8, 16, 8, 1000
IMAGE_BYTES = 1 << 16
PLAYED = 200  # workers that one process can play while they wait
_IDLE_SECONDS = 10.0


async def crowds(server: RedisServer, many: int, samples: int) -> dict[str, float]:
    """Let samples pass few workers and many, then let these wait."""
    async with connect(server.url, role="bench") as connections:
        shop = Shop(connections)
        few = [await shop.worker(f"few-{number}") for number in range(FEW)]
        units = {"few_s": await _pass(server, shop, few, samples)}
        units["image_s"] = await _pass(server, shop, few, samples // 4, bytes(IMAGE_BYTES))
        crowd = [await shop.worker(f"gpu-{number:04}") for number in range(many)]
        await _pass(server, shop, crowd, CLAIM * many)  # each has begun
        units["many_s"] = await _pass(server, shop, crowd, samples)
        return units | await _wait(server, shop, crowd[:PLAYED])


async def _pass(
    server: RedisServer,
    shop: Shop,
    workers: list[RedisWorkQueue],
    samples: int,
    image: bytes = b"",
) -> float:
    """Give the CPU seconds of Redis for a sample, from its offer to its completion.

    As many samples pass as are asked for, to a chunk, and one chunk at least.
    """
    turns = itertools.cycle(workers)
    chunks = max(1, round(samples / CHUNK))
    spent = redis_use(server)["cpu_s"]
    for _ in range(chunks):
        left = await _offer(shop, CHUNK, image)
        while left:
            worker = next(turns)
            leases = await worker.claim(min(CLAIM, left))
            if image:
                assert len(await worker.images(leases)) == len(leases)
            assert all(await worker.complete(done(leases)))
            left -= len(leases)
    return (redis_use(server)["cpu_s"] - spent) / (chunks * CHUNK)


async def _offer(shop: Shop, count: int, image: bytes) -> int:
    """Plan a chunk and offer all of it, a few at a time; answers its samples."""
    await shop.plan(count)
    feeder = shop.feeder("first feeder")
    lease = await feeder.claim_chunk()
    assert lease is not None
    names = lease.chunk.names
    for at in range(0, count, OFFER):
        offers = [offer_of(lease.chunk, name, image) for name in names[at : at + OFFER]]
        now = replace(lease, cursor=at)
        assert (await feeder.offer(now, offers, PLENTY)).status == "ok"
    return count


async def _wait(server: RedisServer, shop: Shop, workers: list[RedisWorkQueue]) -> dict[str, float]:
    """Let workers wait for samples, listen and leave words, as their processes do.

    The machine that plays them all may be slower than they would be: what counts is the cost of
    what they did, and how often they would have done it.
    """
    claims = beats = looks = 0

    async def claim(worker: RedisWorkQueue) -> None:
        nonlocal claims
        while True:
            await worker.claim(CLAIM)
            claims += 1

    async def listen(number: int) -> None:
        nonlocal beats, looks
        name = f"gpu-{number:04}"
        while True:
            await shop.job.orders(name)
            await shop.job.settings_mark()
            looks += 1
            if looks % round(BEAT_SECONDS / LOOK_SECONDS) == 0:
                await shop.job.beat(word_of(number))
                beats += 1
            await asyncio.sleep(LOOK_SECONDS)

    tasks = [asyncio.create_task(claim(worker)) for worker in workers]
    tasks += [asyncio.create_task(listen(number)) for number in range(len(workers))]
    await asyncio.sleep(1.0)
    claims, looks, spent, begun = 0, 0, redis_use(server)["cpu_s"], time.monotonic()
    await asyncio.sleep(_IDLE_SECONDS)
    seconds, used = time.monotonic() - begun, redis_use(server)["cpu_s"] - spent
    await cancel(*tasks)
    return {
        "waiting_core": used / seconds / len(workers),
        "waiting_claims": claims / seconds / len(workers),
        "waiting_looks": looks / seconds / len(workers),
    }
