"""Memory of the server: what waits there takes up what the budget of bytes says, at any size."""

import asyncio
import os

import pytest
from msgspec.structs import replace

from caption_flow.queue.ports import Budget
from tests.queue.shop import Shop, offer_of

MIB = 1 << 20
BUDGET = Budget(bytes=24 * MIB, samples=1 << 30)
MOST, LEAST = 1.1, 0.75  # of the budget, in the memory of the server


async def used(shop: Shop) -> int:
    """Memory that the server says it uses, but for what it keeps for connections for a moment."""
    told = await shop.redis.info("memory")
    return int(told["used_memory"] - told["mem_clients_normal"] - told["mem_aof_buffer"])


async def forget(shop: Shop) -> None:
    """Let the server free what earlier tests have left, to the end."""
    await shop.redis.execute_command("FLUSHALL", "SYNC")
    while (await shop.redis.info("memory"))["lazyfree_pending_objects"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def fill(shop: Shop, size: int) -> None:
    """Offer images of one size until the budget is full; nobody takes any."""
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    a_time = max(1, MIB // size)
    status = "ok"
    while status == "ok":
        names = lease.chunk.names[lease.cursor : lease.cursor + a_time]
        batch = [offer_of(lease.chunk, name, os.urandom(size)) for name in names]
        offered = await feeder.offer(lease, batch, BUDGET)
        status, lease = offered.status, replace(lease, cursor=offered.cursor)
    assert status == "full"


@pytest.mark.parametrize("size", [1000, 17_000, 65_537, 150_000, 1_000_000])
async def test_full_budget_is_what_the_server_uses(shop: Shop, size: int):
    """Allocators round up: images just above 64 KiB take a quarter more than their length."""
    await forget(shop)
    await shop.plan(2 * BUDGET.bytes // size)
    before = await used(shop)

    await fill(shop, size)

    assert LEAST <= (await used(shop) - before) / BUDGET.bytes <= MOST
