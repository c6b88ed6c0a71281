"""The program: a good worker over a proxy that is attacked, and over the same one left in peace.

    python -m tests.hostile [--minutes 2] [--frames 500] [--handshakes 50] [--idle 50] [--pace 200]

Peace and attack take turns of ten seconds each. Ends with 1 where the good worker has less than
nine tenths of its rate under attack, where the proxy has died or has logged a mistake of its own,
or where its memory has grown beyond its bound.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import mean

from caption_flow.lifecycle import cancel
from caption_flow.queue.connect import connect
from caption_flow.wire.frames import SampleSent
from tests.made import jpeg, settings
from tests.proxy.client import RawClient
from tests.proxy.house import publish
from tests.redis_server import RedisServer
from tests.roles import Roles

DOCUMENT = """
auth: {worker_tokens: [{name: good, token: good}, {name: bad, token: bad}]}
proxy: {trust_forwarded: ["127.0.0.1"]}
"""
LOG = "proxy.log"
TURN = 10.0  # seconds
SETTLE = 2.0  # seconds at the beginning of a turn that do not count
MOST_MIB = 400  # of the proxy
KEPT = 0.9  # of a rate
STOCK = 5000  # samples that wait, at least


class Good:
    """A worker that does its work at its own pace, or as fast as it can."""

    def __init__(self, roles: Roles, pace: float) -> None:
        self.done = 0
        self._roles, self._pace = roles, pace

    async def run(self, url: str) -> None:
        client = await RawClient.enter(url, "good", member="good")
        await client.serve()
        begun, window = time.monotonic(), 32
        await client.credit(2 * window)
        while True:
            sent = [await client.hear(SampleSent) for _ in range(window)]
            images = [await client.image() for _ in sent]
            await client.credit(window, sum(len(image) for _, image in images))
            await client.complete(self._roles.told, sent)
            self.done += len(sent)
            if self._pace:
                await asyncio.sleep(begun + self.done / self._pace - time.monotonic())


async def main(given: argparse.Namespace, folder: Path) -> int:
    """Run it; answers the exit code."""
    server = RedisServer(folder / "redis").start()
    try:
        async with connect(server.url, role="test") as connections:
            roles = Roles(connections, folder, settings())
            await publish(roles)
            await stock(roles, 0, STOCK)
            async with proxy(folder, server.url, roles.job.job) as (process, url):
                return await measure(given, folder, roles, process, url)
    finally:
        server.stop()


async def measure(
    given: argparse.Namespace, folder: Path, roles: Roles, process: Process, url: str
) -> int:
    good = Good(roles, given.pace)
    tasks = [asyncio.create_task(good.run(url)), asyncio.create_task(replenish(roles))]
    await asyncio.sleep(SETTLE)
    peace, war, memory, busy = [], [], [], []
    for _ in range(max(1, round(given.minutes * 60 / (2 * TURN)))):
        for rates in (peace, war):
            quiet = rates is peace
            async with contextlib.nullcontext() if quiet else attacked(url, given):
                begun, used = time.monotonic(), cpu(process)
                rates.append(await rate(good))
                busy.append((cpu(process) - used) / (time.monotonic() - begun))
                memory.append(resident(process))
            what = "peace" if quiet else "attack"
            print(
                f"{what}: {rates[-1]:.0f} samples/s, the proxy uses {busy[-1]:.0%} of a core "
                f"and {memory[-1]} MiB; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    lives = process.returncode is None and not any(task.done() for task in tasks)
    await cancel(*tasks)
    errors = (folder / LOG).read_text()
    mistakes = [line for line in errors.splitlines() if "Traceback" in line or "ERROR" in line]
    kept = mean(war) / mean(peace)
    print(f"kept {kept:.1%} of {mean(peace):.0f}/s; at most {max(memory)} MiB; lives: {lives}")
    print(*mistakes[:5], sep="\n")
    return 0 if kept >= KEPT and max(memory) <= MOST_MIB and lives and not mistakes else 1


async def rate(good: Good) -> float:
    await asyncio.sleep(SETTLE)
    begun, done = time.monotonic(), good.done
    await asyncio.sleep(TURN - SETTLE)
    return (good.done - done) / (time.monotonic() - begun)


async def stock(roles: Roles, first: int, count: int) -> None:
    await roles.offer([jpeg(n % 1000) for n in range(first, first + count)], first=first)


async def replenish(roles: Roles) -> None:
    """See that there is always something to do."""
    first = STOCK
    while True:
        counts = await roles.job.counts()
        if counts.planned - counts.completed - counts.dead < STOCK:
            await stock(roles, first, 500)
            first += 500
            await roles.client.delete(roles.job.lane.captions)
        await asyncio.sleep(0.1)


def resident(process: Process) -> int:
    """Tell the memory of a process, in MiB."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20


def cpu(process: Process) -> float:
    """Tell how many seconds of a core a process has had."""
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def proxy(folder: Path, redis: str, job: str) -> AsyncIterator[tuple[Process, str]]:
    document = folder / "job.yaml"
    document.write_text(DOCUMENT)
    words = ["-m", "caption_flow", "proxy", "--config", str(document), "--redis", redis]
    words += ["--job", job, "--host", "127.0.0.1", "--port", "0"]
    with (folder / LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=PIPE, stderr=log
        )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    try:
        yield process, line.split()[-1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def attacked(url: str, given: argparse.Namespace) -> AsyncIterator[None]:
    numbers = map(str, (given.frames, given.handshakes, given.idle))
    words = ("-m", "tests.hostile.attacks", url, "bad", *numbers)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        yield
    finally:
        assert process.returncode is None, "the attacker has died"
        process.kill()
        await process.wait()


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--frames", type=int, default=500, help="in a second")
    parser.add_argument("--handshakes", type=int, default=50, help="in a second")
    parser.add_argument("--idle", type=int, default=50, help="connections that never read")
    parser.add_argument("--pace", type=float, default=200.0, help="samples a second; 0: any")
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        sys.exit(asyncio.run(main(_given(), Path(temporary))))
