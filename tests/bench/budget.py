"""Bench: the memory that a server uses when nobody takes what waits, against the budget of bytes.

    python -m tests.bench.budget [--mib 64] [--binary redis-server]

Images of one size are offered until the budget is full, for each of many sizes; 1.00 is a server
that uses for them just what the books count. Prints a line for each size, and then all as one JSON
document.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from caption_flow.codec.records import encode
from caption_flow.queue.connect import connect
from caption_flow.queue.ports import Budget
from tests.bench.roles import MIB
from tests.queue.shop import Shop, offer_of
from tests.redis_server import RedisServer

SIZES = (
    *(100, 1_000, 2_000, 5_000, 12_000, 17_000, 24_000, 48_000, 65_000, 65_537),
    *(80_000, 81_900, 100_000, 150_000, 262_144, 524_288, 1_000_000),
)
MOST_A_TIME = 16  # samples in an offer, as a feeder has it


async def used(client: Any) -> int:
    """Memory in use, but for what the server keeps for connections and its disk for a moment."""
    told = await client.info("memory")
    return int(told["used_memory"] - told["mem_clients_normal"] - told["mem_aof_buffer"])


async def fill(shop: Shop, size: int, budget: Budget) -> tuple[int, int]:
    """Offer images until there is no room; answers their number, and the bytes of all of it."""
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    a_time = max(1, min(MOST_A_TIME, MIB // size))
    count = length = 0
    while True:
        names = lease.chunk.names[lease.cursor : lease.cursor + a_time]
        offers = [offer_of(lease.chunk, name, os.urandom(size)) for name in names]
        offered = await feeder.offer(lease, offers, budget)
        if offered.status != "ok":
            return count, length
        count += len(offers)
        length += sum(len(encode(offer.sample)) + size for offer in offers)
        lease = replace(lease, cursor=offered.cursor)


async def measure(binary: str, budget: Budget) -> dict[str, dict[str, float]]:
    """Print a line for each size; answers, by size, the shares of the budget."""
    found = {}
    with RedisServer(Path(tempfile.mkdtemp()), binary=binary) as server:
        async with connect(server.url, role="bench") as connections:
            for size in SIZES:
                await connections.commands.execute_command("FLUSHALL", "SYNC")
                shop = Shop(connections)
                await shop.plan(2 * budget.bytes // size)
                before = await used(connections.commands)
                count, length = await fill(shop, size, budget)
                share = (await used(connections.commands) - before) / budget.bytes
                of_length = length / budget.bytes
                print(
                    f"{size:>9,} bytes: {count:>7,} samples, {share:.2f} of the budget in use "
                    f"({of_length:.2f} by their lengths)"
                )
                found[f"{size}_bytes"] = {
                    "share": round(share, 3),
                    "by_lengths": round(of_length, 3),
                }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--binary", default="redis-server")
    given = parser.parse_args()
    budget = Budget(bytes=given.mib * MIB, samples=1 << 30)
    found = asyncio.run(measure(given.binary, budget))
    print(json.dumps({"bench": "budget", "mib": given.mib, "sizes": found}))


if __name__ == "__main__":
    main()
