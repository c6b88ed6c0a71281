"""What the attacker does, as a process of its own: so many frames and handshakes in a second.

python -m tests.hostile.attacks URL TOKEN FRAMES HANDSHAKES IDLE
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException

from caption_flow.wire.frames import (
    Beat,
    CountsWanted,
    Credit,
    Fetch,
    Release,
    Renewal,
    SampleSent,
    Serve,
    Suspect,
    pack,
)
from tests.hostile.forge import FRAMES
from tests.proxy.client import RawClient, failure

TICKS = 50  # in a second
FAILED = (WebSocketException, OSError, TimeoutError, AssertionError)
NEVER = 3600.0


class Attacker:
    """Knows one token of a worker."""

    def __init__(self, url: str, token: str, seed: int = 7) -> None:
        self._url, self._token = url, token
        self._chance = random.Random(seed)
        self._silent: list[asyncio.StreamWriter] = []
        self._made = 0
        self.closed = 0  # by the proxy

    async def session(self, **options: object) -> RawClient:
        """Come in, from an address that nobody has seen."""
        self._made += 1
        address = ".".join(str(self._chance.randrange(1, 250)) for _ in range(4))
        headers = {"Authorization": f"Bearer {self._token}", "X-Forwarded-For": address}
        member = f"bad{self._made}"
        client = await RawClient.enter(
            self._url, "", member=member, additional_headers=headers, **options
        )
        await client.serve()
        return client

    async def handshake(self) -> None:
        """Begin one in some way that leads nowhere, or that ends in a breach."""
        kinds: tuple[Callable[[], Awaitable[None]], ...]
        kinds = (self._guess, self._say_nothing, self._half, self._forge, self._forge, self._noise)
        with contextlib.suppress(*FAILED):
            async with asyncio.timeout(5):
                await self._chance.choice(kinds)()

    async def _guess(self) -> None:
        await RawClient.open(self._url, str(self._chance.random()))

    async def _say_nothing(self, said: bytes = b"") -> None:
        where = urlsplit(self._url)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(said)
        self._silent.append(writer)
        if len(self._silent) > 200:
            self._silent.pop(0).transport.abort()

    async def _half(self) -> None:
        await self._say_nothing(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")

    async def _noise(self) -> None:
        client = await self.session()
        await client.connection.send(self._chance.randbytes(self._chance.randrange(3000)))
        await client.closed()
        self.closed += 1

    async def _forge(self) -> None:
        client = await self.session()
        [sent] = await client.take(1)
        right = pack(self._chance.choice([*FRAMES.values()])(sent.entry))
        start, end = sorted(self._chance.randrange(len(right)) for _ in range(2))
        await client.connection.send(right[:start] + self._chance.randbytes(3) + right[end:])
        client.cut()

    async def flood(self, frames: int) -> None:
        """Say as many frames in a second, all of them right, and all of them of no use."""
        while True:
            with contextlib.suppress(*FAILED):
                client = await self.session()
                sent = await client.take(32)
                await asyncio.gather(self._listen(client), self._flood(client, sent, frames))
            self.closed += 1
            await asyncio.sleep(0.1)

    async def _listen(self, client: RawClient) -> None:
        while True:
            await client.connection.recv()

    async def _flood(self, client: RawClient, sent: list[SampleSent], frames: int) -> None:
        entries = tuple(one.entry for one in sent)
        fetched = 0
        while True:
            for n in range(frames // TICKS):
                id_ = next(client.ids)
                fetched += n % 8 == 0
                kinds = (
                    Fetch(id_, 0, (entries[fetched // 8 % 30],)),
                    Renewal(id_, 0, entries[:30]),
                    CountsWanted(id_),
                    Serve(id_, 0, None, ("../x",) * 100),
                    Beat("\u202eworking", {"images": 1e15}),
                    Suspect(id_, 0, entries[0], failure("worker_died")),
                    Credit(0, 0, 0),
                    Release(id_, 0, entries[30:31]),
                )
                await client.say(kinds[n % 8])
            await asyncio.sleep(1 / TICKS)

    async def sit(self) -> None:
        """Come in, ask for everything, and take nothing in."""
        with contextlib.suppress(*FAILED):
            client = await self.session()
            client.connection.transport.pause_reading()
            await client.say(Credit(0, 1, 1 << 20))
            await asyncio.sleep(NEVER)


async def attack(url: str, token: str, frames: int, handshakes: int, idle: int) -> None:
    """Do all of it until killed."""
    attacker = Attacker(url, token)
    tasks = {asyncio.create_task(attacker.flood(frames))}
    for _ in range(idle):
        tasks.add(asyncio.create_task(attacker.sit()))
        await asyncio.sleep(0.004)
    while True:
        task = asyncio.create_task(attacker.handshake())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        RawClient.opened.clear()
        await asyncio.sleep(1 / handshakes)


if __name__ == "__main__":
    where, secret, *numbers = sys.argv[1:]
    asyncio.run(attack(where, secret, *map(int, numbers)))
