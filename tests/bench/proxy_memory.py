"""Bench: what connections cost a proxy in memory.

    python -m tests.bench.proxy_memory [--idle 1000] [--lazy 100] [--bytes 262144]

First workers that have asked for samples and get none, since the job is paused; then the job goes
on, and others ask for 64 samples and 32 MiB of images each and take nothing in. What they are sent
waits in Redis but for what the kernel and the proxy hold for them.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.bench.images import jpeg_folder
from tests.bench.proxy import TOKEN, Bench
from tests.bench.roles import MIB, REDIS_OPTIONS
from tests.proxy.client import RawClient
from tests.redis_server import RedisServer

IMAGES = 2000
SAMPLES = 64  # of credit
SETTLED_SECONDS = 8.0  # below the time after which a client that takes nothing in is cut off
AT_ONCE = 20  # handshakes


async def measure(bench: Bench, url: str, idle: int, lazy: int) -> dict[str, float]:
    """Open the connections; answers the MiB of the proxy before, and after each kind."""
    pid = bench.roles.pids["proxy"]
    found = {"none": resident(pid)}
    waiting = await opened(url, idle)
    for client in waiting:
        await client.credit(1)
    await asyncio.sleep(SETTLED_SECONDS)
    found["idle"] = resident(pid)
    for client in waiting:
        client.cut()
    await asyncio.sleep(SETTLED_SECONDS)
    found["none again"] = resident(pid)
    sleepers = await opened(url, lazy)
    await asyncio.to_thread(bench.resume)
    for client in sleepers:
        client.connection.transport.pause_reading()
        await client.credit(SAMPLES, 32 * MIB)
    await asyncio.sleep(SETTLED_SECONDS)
    found["lazy"] = resident(pid)
    for client in sleepers:
        client.cut()
    return found


async def opened(url: str, count: int) -> list[RawClient]:
    """Let so many workers in, each with an open channel."""
    door = asyncio.Semaphore(AT_ONCE)

    async def enter(number: int) -> RawClient:
        async with door:
            client = await RawClient.enter(url, TOKEN, member=f"m{number}", ping_interval=None)
            await client.serve()
            return client

    return list(await asyncio.gather(*map(enter, range(count))))


def resident(pid: int) -> float:
    """MiB that a process has in memory now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if "VmRSS" in line) / 1024


def main() -> None:
    """Print the figures as JSON, and a line of what a connection costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--lazy", type=int, default=100)
    parser.add_argument("--bytes", type=int, default=262_144)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = jpeg_folder(given.cache, IMAGES, given.bytes)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
            bench = Bench(server, place, folder, IMAGES)
            _, url, *_ = bench.start_proxy(tls=False)
            time.sleep(1.0)
            found = asyncio.run(measure(bench, url, given.idle, given.lazy))
            bench.close()
    print(json.dumps({"bench": "proxy_memory", "mib": found}))
    idle = (found["idle"] - found["none"]) / given.idle
    lazy = (found["lazy"] - found["none again"]) / given.lazy
    print(f"MiB of a connection: {idle:.3f} idle, {lazy:.2f} of one that takes nothing in")


if __name__ == "__main__":
    main()
