"""Chaos, the line between remote workers and proxies: a balancer that anything may befall.

Each connection goes to any proxy that takes it. Some are slow to the last byte, some are narrow;
they are cut, all stand still for a while, and some go dead without a word to either end.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from tests.chaos.mischief import LINE, Deed
from tests.redis_server import free_port

_PIECE = 64 << 10  # bytes read at once
_PIECES = 16  # on the way in one direction
_KINDS = 4  # of connections: one in so many is late, another is narrow
_LATE = (0.05, 0.5)  # seconds that a byte may take
_NARROW = (20_000, 200_000)  # bytes a second
_PATIENCE = 10.0  # seconds until its thread must have done something


class Line:
    """Listens on a port for the proxies that listen on others."""

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self.port = free_port()
        self.done: Counter[tuple[str, str]] = Counter()
        self._ports = ports
        self._chance = random.Random(seed)
        self._open: list[_Connection] = []

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def suffer(self, deed: Deed) -> None:
        """Do it to the n-th connection, or to all of them where it stands still."""
        self._do(self._suffer(deed))
        self.done[deed.what, LINE] += 1

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE)

    # In its thread

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=_PIECE
        )

    async def _end(self) -> None:
        self._server.close()
        # Who was just let in may begin while the others end.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _suffer(self, deed: Deed) -> None:
        victims = [one for one in self._open if not one.is_dead]
        if not victims:
            return
        if deed.what == "halt":
            for one in victims:
                one.halt(deed.seconds)
            return
        victim = victims[deed.nth % len(victims)]
        if deed.what == "cut":
            victim.cut()
        else:
            victim.die()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await self._proxy()
        if found is None:
            writer.transport.abort()
            return
        connection = _Connection((reader, writer), found, self._chance)
        self._open.append(connection)
        try:
            with suppress(asyncio.CancelledError):  # at the end of the run, and nobody asks
                await connection.run()
        finally:
            self._open.remove(connection)

    async def _proxy(self) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter] | None":
        """Connect to any proxy that is there."""
        for port in self._chance.sample(self._ports, len(self._ports)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
        return None


class _Connection:
    """What goes to and fro between a client and a proxy."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        proxy: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        chance: random.Random,
    ) -> None:
        self.is_dead = False
        self._ends = (client, proxy)
        kind = chance.randrange(_KINDS)
        self._late = chance.uniform(*_LATE) if kind == 0 else 0.0
        self._rate = chance.uniform(*_NARROW) if kind == 1 else 0.0
        self._flows = asyncio.Event()
        self._flows.set()

    async def run(self) -> None:
        """Pass on what comes, until either end closes."""
        (from_client, to_client), (from_proxy, to_proxy) = self._ends
        ways = (self._way(from_client, to_proxy), self._way(from_proxy, to_client))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.cut()

    def cut(self) -> None:
        """Close it at both ends, whatever is on the way."""
        for _, writer in self._ends:
            writer.transport.abort()

    def halt(self, seconds: float) -> None:
        """Let nothing through for a while."""
        self._flows.clear()
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def die(self) -> None:
        """Let nothing through any more, nor the end of it."""
        self.is_dead = True
        self._flows.clear()

    def _go_on(self) -> None:
        if not self.is_dead:
            self._flows.set()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES)
        sending = asyncio.create_task(self._send(pieces, writer))
        clock = asyncio.get_running_loop().time
        try:
            with suppress(OSError):
                while data := await reader.read(_PIECE):
                    await pieces.put((clock() + self._late, data))
                await pieces.join()
            await self._flows.wait()
        finally:
            sending.cancel()

    async def _send(
        self, pieces: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - clock())
            await self._flows.wait()
            if not writer.transport.is_closing():
                with suppress(OSError):
                    writer.write(data)
                    await writer.drain()
            if self._rate:
                await asyncio.sleep(len(data) / self._rate)
            pieces.task_done()
