"""What one contributor cannot make others pay for: images, Redis, memory, places in the line."""

import asyncio
import time

import pytest
from websockets.exceptions import ConnectionClosed

from caption_flow.proxy import outbox
from caption_flow.proxy.desks import channel, images
from caption_flow.queue.connect import Connections
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    Beat,
    Complete,
    Did,
    Fetch,
    Frame,
    Release,
    Renewal,
    Settled,
    Suspect,
)
from tests.proxy.client import RawClient, failure, record
from tests.proxy.house import ANN, BOB, BRISK, House, grant, house, publish
from tests.roles import Roles, until

DEAD = failure("worker_died")
MIB = 1 << 20


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection say as much as it wants."""
    monkeypatch.setattr("caption_flow.proxy.session.MOST_FRAMES", 1e9)


async def every(client: RawClient, frames: list[Frame]) -> None:
    for frame in frames:
        await client.say(frame)


async def test_image_is_not_fetched_for_ever(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    for _ in range(images.MOST_FETCHES):
        await client.ask(Fetch, 0, (sent.entry,), answer=Did)

    await client.say(Fetch(next(client.ids), 0, (sent.entry,)))

    assert (await client.closed())[0] == Close.DISORDER


async def test_fetching_again_has_an_end_with_the_bytes_of_a_day(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """Coming back does not make it anew, and another proxy counts it too."""
    monkeypatch.setattr("caption_flow.proxy.admission.accounts._MOST_BYTES", 1000)
    await publish(roles)
    limited = (grant("ann", ANN, bytes_per_day=1000),)
    monkeypatch.setattr("tests.proxy.house.GRANTS", limited)
    async with house(connections, roles) as home, house(connections, roles) as other:
        await home.offer(1)
        client = await home.worker()
        [sent] = await client.take(1)
        codes = []
        for _ in range(20):
            if codes[-1:] == [Close.EXCESS]:
                break
            client = await RawClient.enter(other.url, ANN, resume=client.welcome.ticket)
            await client.serve(holding=[sent.entry])
            try:
                while True:
                    await client.ask(Fetch, 0, (sent.entry,), answer=Did)
            except ConnectionClosed:
                codes.append((await client.closed())[0])
                client.cut()

        assert codes[-1] == Close.EXCESS
        assert other.door.figures()["bytes"] < 20 * 1000


async def test_suspicion_is_noted_once(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    for _ in range(50):
        await client.ask(Suspect, 0, sent.entry, DEAD, answer=Did)

    [noted] = await home.roles.client.hvals(home.roles.job.lane.failures)
    assert noted.count(b"worker_died") == 1


async def test_limited_contributor_holds_up_nobody_in_the_line(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """All its channels ask again and again, and may have nothing."""
    monkeypatch.setattr(
        "tests.proxy.house.GRANTS", (grant("ann", ANN, samples_per_minute=400), grant("bob", BOB))
    )
    monkeypatch.setattr("caption_flow.proxy.admission.accounts.MOST_SECONDS", 0.05)
    await publish(roles)
    async with house(connections, roles) as home:
        greedy = await RawClient.enter(home.url, ANN)
        for number in range(60):
            await greedy.serve(number)
            await greedy.credit(64, 0, number)
        await asyncio.sleep(0.3)
        await home.offer(1500)
        await asyncio.sleep(0.3)
        good = await home.worker(BOB)

        begun = time.monotonic()
        for _ in range(40):
            await good.complete(home.told, await good.take(4))

        assert time.monotonic() - begun < 1.5


@pytest.mark.usefixtures("hasty")
async def test_answers_that_nobody_takes_are_bounded_in_bytes(home: House):
    client = await home.worker()
    made_up = tuple(f"{n}-1" for n in range(10**15, 10**15 + 4096))
    await client.serve(1, holding=made_up)
    client.connection.transport.pause_reading()
    [session] = home.door._sessions

    ids = [next(client.ids) for _ in range(80)]
    flood = asyncio.create_task(every(client, [Renewal(id_, 1, made_up) for id_ in ids]))
    await until(lambda: session.outbox._waiting > outbox.MOST_WAITING // 2)
    await asyncio.sleep(0.3)

    assert session.outbox._waiting <= outbox.MOST_WAITING
    client.cut()
    await asyncio.gather(flood, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
async def test_entries_that_never_were_are_remembered_in_bounds(home: House):
    client = await home.worker()
    for number in range(1, 64):
        await client.serve(number, holding=[f"{number}-{n}" for n in range(1, 1000)])

    [session] = home.door._sessions
    remembered = sum(len(one._past) for one in session._desk._channels.values())
    assert remembered < 5 * channel.MOST_PAST


async def test_samples_are_not_taken_and_returned_without_end(home: House):
    """Each has its pace, so that Redis has time for others."""
    await home.offer(100)
    client = await home.worker()
    begun = time.monotonic()
    returned = 0
    while time.monotonic() - begun < 1.5:
        sent = await client.take(100)
        await client.ask(Release, 0, tuple(one.entry for one in sent), answer=Did)
        returned += len(sent)

    assert returned < 1500


async def test_captions_of_unknown_settings_do_not_make_the_proxy_look_each_time(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.proxy.view.LOOK_SECONDS", 60)
    await asyncio.sleep(0.1)
    looks = 0
    look = type(home.door._common.view).look

    async def counted(view):
        nonlocal looks
        looks += 1
        await look(view)

    monkeypatch.setattr(type(home.door._common.view), "look", counted)
    await home.offer(8)
    client = await home.worker()
    sent = await client.take(8)
    begun = time.monotonic()
    lies = tuple(
        (one.entry, (record(home.told, one, settings_version=2**62 + n),))
        for n, one in enumerate(sent)
    )

    settled = await client.ask(Complete, 0, lies, answer=Settled)

    assert settled.ours == (False,) * 8
    assert looks <= (time.monotonic() - begun) / 0.1 + 1


@pytest.mark.parametrize("figure", [1e308, -1e308, float("inf"), float("nan"), 2.0**63])
async def test_figures_that_break_sums_close(home: House, figure: float):
    client = await home.worker()
    await client.say(Beat("x", {"images": figure}))
    assert (await client.closed())[0] == Close.MALFORMED


async def test_flood_of_pings_is_cut_off(home: House):
    client = await home.worker()
    ping = bytes([0x89, 0x80]) + bytes(4)
    for _ in range(100):
        if client.connection.transport.is_closing():
            break
        client.connection.transport.write(100 * ping)
        await asyncio.sleep(0.001)
    await until(lambda: not home.door._sessions)


async def test_credit_floods_are_refused(home: House):
    client = await home.worker()
    for _ in range(3):
        await client.credit(4000, 250 * MIB)
    assert (await client.closed())[0] == Close.DISORDER


async def test_one_address_may_open_so_many_silent_connections(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """The oldest of them has to go, and whoever means well is let in."""
    monkeypatch.setattr("caption_flow.proxy.server.MOST_WAITING", 20)
    await publish(roles)
    async with house(connections, roles, config=BRISK) as home:
        port = int(home.url.rsplit(":", 1)[1])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        ended = [asyncio.create_task(reader.read()) for reader, _ in silent]

        await until(lambda: sum(task.done() for task in ended) >= 20)
        assert not ended[-1].done()
        client = await home.worker()
        await home.offer(1)
        assert await client.take(1)
        for _, writer in silent:
            writer.transport.abort()
        await asyncio.gather(*ended, return_exceptions=True)
