"""Bench: what `caption-flow monitor` costs at a job of many workers, all of which live.

    python -m tests.bench.monitor [--members 500] [--seconds 30] [--columns 200] [--lines 60]

The monitor runs as a process of its own on a pseudo-terminal, with its default of a look a second;
the workers leave a word every two seconds, and samples are captioned and given up meanwhile. Told
are, for each pane, the share of one core that the monitor takes and the Redis commands it sends a
second.
"""

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import msgspec

from caption_flow.config.vllm import Stage
from caption_flow.lifecycle import cancel
from caption_flow.queue.connect import connect
from tests.bench.roles import cpu_seconds
from tests.cli.full_screen import Terminal
from tests.made import settings
from tests.monitor.crowd import beat_all
from tests.queue.shop import Shop
from tests.redis_server import RedisServer

BEAT_SECONDS = 2.0
STEP_SECONDS = 0.5  # between two steps of the job
STAGES = tuple(Stage(name=name, model="", prompts=("Describe.",)) for name in ("look", "tell"))
SETTINGS = msgspec.json.encode(settings(stages=STAGES))
CLIENT = "name=caption-flow:monitor"
_ADDRESS = re.compile(r" addr=(\S+)")
PANES = {"1": "overview", "2": "workers", "3": "streams", "5": "captions", "6": "errors"}


class Load:
    """A job that goes on."""

    def __init__(self, shop: Shop, members: int) -> None:
        self._shop = shop
        self._members = members
        self._steps = 0

    async def begin(self) -> None:
        await self._shop.feeder().publish(SETTINGS, "data")
        await self.step()

    async def go_on(self) -> None:
        while True:
            await self.step()
            await asyncio.sleep(STEP_SECONDS)

    async def step(self) -> None:
        await self._shop.caption(4)
        await self._shop.give_up(1)
        self._steps += 1

    async def beat(self) -> None:
        while True:
            begun = time.monotonic()
            await beat_all(self._shop.job, self._members, 10.0 * self._steps)
            await asyncio.sleep(max(0.0, begun + BEAT_SECONDS - time.monotonic()))


class Heard:
    """A context that hears all commands which the server is sent from outside."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self._server = server
        self._log = folder / "commands.log"

    def __enter__(self) -> Self:
        words = ("redis-cli", "-p", str(self._server.port), "MONITOR")
        with self._log.open("wb") as log:
            self._hearing = subprocess.Popen(words, stdout=log)
        return self

    def __exit__(self, *_: object) -> None:
        self._hearing.terminate()
        self._hearing.wait()

    def count(self) -> int:
        """How many came from connections of the monitor."""
        clients = self._server.cli("CLIENT", "LIST").splitlines()
        ours = [found[1] for line in clients if CLIENT in line and (found := _ADDRESS.search(line))]
        heard = self._log.read_text(errors="replace").splitlines()
        return sum(any(f" {address}]" in line for address in ours) for line in heard)


async def bench(options: argparse.Namespace, folder: Path) -> None:
    with RedisServer(folder / "redis") as server:
        async with connect(server.url, role="bench") as connections:
            load = Load(Shop(connections, "look", "tell"), options.members)
            await load.begin()
            going = [asyncio.create_task(work) for work in (load.go_on(), load.beat())]
            try:
                await look(server, options, folder)
            finally:
                await cancel(*going)


async def look(server: RedisServer, options: argparse.Namespace, folder: Path) -> None:
    size = {"columns": options.columns, "lines": options.lines}
    where = ("--redis", server.url, "--job", "job")
    with Terminal(folder / "home", "monitor", *where, **size) as terminal:
        await asyncio.to_thread(terminal.shows, f"{options.members} workers")
        await asyncio.sleep(BEAT_SECONDS)
        for key, pane in PANES.items():
            terminal.press(key)
            with Heard(server, folder) as heard:
                begun, spent = time.monotonic(), cpu_seconds(terminal.process.pid)
                await asyncio.sleep(options.seconds)
                span = time.monotonic() - begun
                share = (cpu_seconds(terminal.process.pid) - spent) / span
                told = {"pane": pane, "core_share": round(share, 4)}
                told |= {"commands_per_second": round(heard.count() / span, 1), **size}
            print(json.dumps(told | {"members": options.members}))
        if options.show:
            print(terminal.text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--show", action="store_true", help="Print the last screen, too.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bench(options, Path(folder)))


if __name__ == "__main__":
    main()
