"""Frames that are nearly right: whatever is sent, the proxy lives on and the others are served.

`python -m tests.hostile` does the same for longer, against a proxy that is a process.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from caption_flow.queue.connect import Connections
from caption_flow.wire.closing import Close
from tests.hostile.forge import FRAMES, mutated
from tests.made import PATIENCE
from tests.proxy.client import RawClient
from tests.proxy.house import BOB, House, house, publish
from tests.roles import Roles

ENTRY = b"1111111111111-0"  # as long as those of Redis are

AFTER = settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.generate,),
    derandomize=True,
)


@pytest.fixture
async def open_house(connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.proxy.admission.addresses.Addresses.knock", lambda *_: 0.0)
    await publish(roles)
    async with house(connections, roles) as home:
        yield home


async def survives(home: House, good: RawClient, caplog: pytest.LogCaptureFixture) -> None:
    """A good worker beside it is served, and nothing was logged as a mistake of ours."""
    assert await good.complete(home.told, await good.take(1)) == (True,)
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert not errors, errors


@pytest.mark.parametrize("kind", FRAMES)
async def test_frames_of_each_kind_with_anything_in_them(
    open_house: House, kind: str, caplog: pytest.LogCaptureFixture
):
    home = open_house
    await home.offer(40)
    good = await home.worker(BOB)

    async def attack(messages: list[bytes]) -> None:
        client = await home.worker()
        [sent] = await client.take(1)
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await client.connection.send(message.replace(ENTRY, sent.entry.encode()))
        await leave(client)
        await survives(home, good, caplog)

    await attempts(kind, attack)


async def attempts(kind: str, attack: Callable[[list[bytes]], Awaitable[None]]) -> None:
    """Try many forged messages; they are drawn in a thread, and sent from here."""
    loop = asyncio.get_running_loop()

    @AFTER
    @given(st.lists(mutated(kind, ENTRY.decode()), min_size=1, max_size=3))
    def each(messages: list[bytes]) -> None:
        asyncio.run_coroutine_threadsafe(attack(messages), loop).result(PATIENCE)

    await asyncio.to_thread(each)


async def leave(client: RawClient) -> None:
    """Go once all that was said has been read, or the proxy has closed."""
    with contextlib.suppress(ConnectionClosed):
        await (await client.connection.ping())
    await client.leave()


NOISE = random.Random(7)


@pytest.mark.parametrize("size", [0, 1, 4, 5, 100, 10_000])
async def test_random_bytes(open_house: House, size: int, caplog: pytest.LogCaptureFixture):
    home = open_house
    await home.offer(8)
    good = await home.worker(BOB)
    for _ in range(5):
        client = await home.worker()
        await client.connection.send(NOISE.randbytes(size))
        assert (await client.closed())[0] == Close.MALFORMED
        await survives(home, good, caplog)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01" + bytes(200),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500,
        b"GET /" + b"a" * 100_000,
        b"\0" * 5000,
        b"GET / HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"POST /health HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_handshake(
    open_house: House, said: bytes, caplog: pytest.LogCaptureFixture
):
    home = open_house
    await home.offer(1)
    good = await home.worker(BOB)
    port = int(home.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(said)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.3):
            assert b" 101 " not in await reader.read(1000)

    writer.transport.abort()
    await survives(home, good, caplog)


async def test_handshakes_that_never_end_do(open_house: House, monkeypatch: pytest.MonkeyPatch):
    """Nothing said; HTTP byte by byte. Neither lasts beyond the time for a hello."""
    home = open_house
    monkeypatch.setattr("caption_flow.proxy.server.HELLO_SECONDS", 0.4)
    async with home.door.listening("127.0.0.1", 0) as port:
        silent = await asyncio.open_connection("127.0.0.1", port)
        slow = await asyncio.open_connection("127.0.0.1", port)
        begun = asyncio.get_running_loop().time()
        with contextlib.suppress(OSError):
            for byte in b"GET / HTTP/1.1\r\nHost: " + b"x" * 1000:
                slow[1].write(bytes([byte]))
                await slow[1].drain()
                await asyncio.sleep(0.02)
        with contextlib.suppress(OSError):
            await silent[0].read()
        assert asyncio.get_running_loop().time() - begun < 5
        for _, writer in (silent, slow):
            writer.transport.abort()
