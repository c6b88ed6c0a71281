"""What connections cost: Redis is asked no more for those that wait, and memory has its bound."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from caption_flow.config.proxy import ProxyConfig
from caption_flow.proxy.outbox import MOST_ANSWERS
from caption_flow.queue.connect import Connections
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import Counted, CountsWanted, Credit, Renewal, SampleSent
from tests.proxy.client import RawClient
from tests.proxy.house import BOB, BRISK, House, house, publish
from tests.roles import Roles, until

WATCHED = 1.0  # seconds
MIB = 1 << 20


async def put_images(home: House, images: Sequence[bytes]) -> RawClient:
    """Offer samples with such images; answers a worker that does not read."""
    await home.offer(len(images))
    lane, redis = home.roles.job.lane, home.roles.client
    entries = [entry for entry, _ in await redis.xrange(lane.images)]
    await redis.delete(lane.images)
    for entry, image in zip(entries, images, strict=True):
        await redis.xadd(lane.images, {"image": image}, id=entry)
    client = await home.worker()
    client.connection.transport.pause_reading()
    return client


async def commands(redis: Any) -> int:
    """Count what Redis is asked while nothing happens."""
    await redis.config_resetstat()
    await asyncio.sleep(WATCHED)
    stats = await redis.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if "info" not in name)


async def test_idle_connections_ask_nothing_of_redis(connections: Connections, roles: Roles):
    await publish(roles)
    config = ProxyConfig(resume_seconds=BRISK.resume_seconds, handshakes_per_minute=10_000)
    async with house(connections, roles, config=config) as home:

        async def waiting(number: int) -> RawClient:
            client = await home.worker(member=f"m{number}")
            await client.credit(8)
            return client

        few = [await waiting(n) for n in range(2)]
        await asyncio.sleep(0.3)
        with_few = await commands(roles.client)
        many = [await waiting(n) for n in range(2, 60)]
        # The first looks may still see some of them come in.
        with_many = min([await commands(roles.client) for _ in range(3)])

        assert with_many < 1.5 * with_few + 20
        # And yet each of them is served.
        await home.offer(2)
        heard = [asyncio.create_task(client.hear(SampleSent)) for client in (*few, *many)]
        done, _ = await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        assert done
        for task in heard:
            task.cancel()


async def test_client_that_never_reads_costs_a_bounded_memory(home: House):
    """Its socket takes what the kernel takes; beyond, a group of images waits, whatever it asks."""
    lazy = await put_images(home, [bytes(MIB // 2)] * 40)
    await lazy.say(Credit(0, 40, 200 * MIB))
    [session] = home.door._sessions
    await until(lambda: session._connection.transport.get_write_buffer_size() > 0)
    await asyncio.sleep(0.5)

    sent = home.door.figures()["bytes"]
    buffered = session._connection.transport.get_write_buffer_size()

    assert buffered < MIB
    assert sent < 16 * MIB  # what the kernel took, at both ends
    other = await home.worker(BOB)
    assert await other.quiet(SampleSent)  # the samples are claimed; their images are not read
    lazy.cut()


async def test_client_that_asks_and_never_reads_is_read_no_more(home: House):
    lazy = await put_images(home, [bytes(32 * MIB)])
    [session] = home.door._sessions
    await lazy.credit(1)
    await until(lambda: session._connection.paused)

    for _ in range(10 * MOST_ANSWERS):
        await lazy.say(CountsWanted(next(lazy.ids)))
    await until(lambda: len(session.outbox._answers) == MOST_ANSWERS)
    await asyncio.sleep(0.2)

    assert len(session.outbox._answers) == MOST_ANSWERS
    assert session._last_id < 2 * MOST_ANSWERS
    lazy.cut()


async def test_client_that_takes_in_nothing_is_closed(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.proxy.session.SILENCE_SECONDS", 0.2)
    monkeypatch.setattr("caption_flow.proxy.session.CLOSE_SECONDS", 0.1)
    lazy = await put_images(home, [bytes(MIB)] * 20)
    await lazy.say(Credit(0, 20, 200 * MIB))

    await until(lambda: not home.door._sessions)


async def test_flood_of_small_frames_has_its_pace(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.proxy.session.MOST_FRAMES", 100)
    client = await home.worker()
    begun = time.monotonic()

    for _ in range(250):
        await client.credit(0, 0)
    await client.ask(CountsWanted, answer=Counted)

    assert time.monotonic() - begun > 1.0


async def test_message_in_endless_pieces_is_not_put_together(home: House):
    client = await home.worker()

    with contextlib.suppress(ConnectionClosed):
        await client.connection.send(iter([b"x"] * 3000))

    assert (await client.closed())[0] == Close.LARGE


async def test_client_that_pings_and_never_reads_is_cut_off(home: House):
    lazy = await home.worker()
    lazy.connection.transport.pause_reading()
    ping = bytes([0x89, 0x80 | 125]) + bytes(4 + 125)
    written = 0
    while home.door._sessions:
        lazy.connection.transport.write(1000 * ping)
        written += 1000 * len(ping)
        await asyncio.sleep(0.001)

    assert written < 64 * MIB


async def test_renewals_are_done_while_a_large_image_goes_out(home: House):
    """On a slow line the answer comes after the image, but the lease has begun anew."""
    client = await put_images(home, [bytes(32 * MIB)])
    client.connection.transport.resume_reading()
    [sent] = await client.take(1)
    client.connection.transport.pause_reading()
    stream = home.roles.job.lane.samples("caption")
    await asyncio.sleep(0.2)
    await home.roles.client.xclaim(
        stream, "workers", (await home.holders())[0], 0, [sent.entry], idle=50_000, justid=True
    )
    await client.say(Renewal(50, 0, (sent.entry,)))

    async def renewed() -> bool:
        [row] = await home.roles.client.xpending_range(stream, "workers", "-", "+", 10)
        return row["time_since_delivered"] < 40_000

    await until(renewed)
    client.connection.transport.resume_reading()
    assert len((await client.image())[1]) == 32 * MIB
