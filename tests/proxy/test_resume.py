"""Interruptions: who is cut off comes back for what it holds; who stays away loses it to others."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from caption_flow.proxy.desks.images import MOST_FETCHES
from caption_flow.queue import keys
from caption_flow.queue.connect import Connections, connect
from caption_flow.queue.relay import RelayQueue
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    Complete,
    Did,
    Fetch,
    ImageSent,
    Leave,
    Lost,
    Refused,
    Renewal,
    SampleSent,
    Serve,
    Settled,
)
from tests.made import LEASE, jpeg, settings
from tests.proxy.client import RawClient, record
from tests.proxy.house import ANN, BOB, PATIENT, House, house, publish
from tests.redis_server import RedisServer
from tests.roles import Roles, until


@pytest.fixture
async def another(connections: Connections, patient: House) -> AsyncIterator[House]:
    """A second one of the same job."""
    async with house(connections, patient.roles, config=PATIENT) as opened:
        yield opened


@pytest.fixture
async def frail(own_server: RedisServer, tmp_path: Path) -> AsyncIterator[House]:
    """A proxy whose Redis may be stopped."""
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        await publish(roles)
        async with house(connections, roles) as opened:
            yield opened


async def nobody_holds(home: House) -> bool:
    return set(await home.holders()) <= {"returned"}


async def test_what_is_held_may_be_taken_up_again(patient: House):
    await patient.offer(3)
    first = await patient.worker()
    done, held, missed = await first.take(3)
    first.cut()

    second = await RawClient.enter(patient.url, ANN, resume=first.welcome.ticket)
    assert second.welcome.resumes
    assert (await second.serve(holding=[done.entry, held.entry])).lost == ()

    assert await second.complete(patient.told, [done, held]) == (True, True)
    [again] = await second.take(1)
    assert (again.entry, again.attempt) == (missed.entry, 1)
    assert (await second.image())[0].entry == missed.entry


async def test_connection_that_broke_before_it_took_anything_up_is_passed_over(patient: House):
    await patient.offer(2)
    first = await patient.worker()
    held, missed = await first.take(2)
    first.cut()
    tickets = [first.welcome.ticket]
    second = await RawClient.enter(patient.url, ANN, resume=tickets[0])
    second.cut()

    third = await RawClient.enter(patient.url, ANN, resume=second.welcome.ticket)
    assert (await third.serve(holding=[held.entry], tickets=tickets)).lost == ()
    assert await third.complete(patient.told, [held]) == (True,)
    [again] = await third.take(1)
    assert (again.entry, again.attempt) == (missed.entry, 1)


async def test_another_proxy_will_do(patient: House, another: House):
    await patient.offer(1)
    first = await patient.worker()
    [sent] = await first.take(1)
    first.cut()

    second = await RawClient.enter(another.url, ANN, resume=first.welcome.ticket)
    assert (await second.serve(holding=[sent.entry])).lost == ()

    assert await second.complete(another.told, [sent]) == (True,)


async def test_the_old_connection_holds_nothing_any_more(patient: House, another: House):
    """It may seem open for a while, at another proxy too."""
    await patient.offer(1)
    old = await patient.worker()
    [sent] = await old.take(1)

    new = await RawClient.enter(another.url, ANN, resume=old.welcome.ticket)
    await new.serve(holding=[sent.entry])

    assert await old.ask(Renewal, 0, (sent.entry,), answer=Lost) == Lost(1, (sent.entry,))
    assert await old.complete(patient.told, [sent]) == (False,)
    assert await new.complete(another.told, [sent]) == (True,)


async def test_the_old_connection_is_closed_where_it_is_seen(home: House):
    old = await home.worker()
    await RawClient.enter(home.url, ANN, resume=old.welcome.ticket)

    assert (await old.closed())[0] == Close.GOING


async def test_who_stays_away_loses_what_it_held(home: House):
    await home.offer(2)
    client = await home.worker()
    sent = await client.take(2)
    client.cut()
    await until(lambda: nobody_holds(home))

    other = await home.worker(BOB)
    again = await other.take(2)
    back = await RawClient.enter(home.url, ANN, resume=client.welcome.ticket)

    assert {one.entry for one in again} == {one.entry for one in sent}
    # Nobody knows what became of it: the sample may be what its worker died of.
    assert {one.attempt for one in again} == {2}
    entries = {one.entry for one in sent}
    assert set((await back.serve(holding=list(entries))).lost) == entries
    assert await back.complete(home.told, sent) == (False, False)


async def test_sample_that_its_client_does_not_renew_is_sent_to_it_again(home: House):
    """It may have been lost on the way, and nobody else may be there to have it."""
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    stream, [holder] = home.roles.job.lane.samples("caption"), await home.holders()
    await home.roles.client.xclaim(
        stream, keys.WORKERS, holder, 0, [sent.entry], idle=int(LEASE * 1000), justid=True
    )
    [again] = await client.take(1)

    assert (again.entry, again.attempt) == (sent.entry, 2)
    assert await client.complete(home.told, [again]) == (True,)


async def test_what_was_taken_up_is_not_taken_away(home: House):
    await home.offer(1)
    first = await home.worker()
    [sent] = await first.take(1)
    first.cut()
    second = await RawClient.enter(home.url, ANN, resume=first.welcome.ticket)
    await second.serve(holding=[sent.entry])

    await home.has_given_up()

    assert await second.complete(home.told, [sent]) == (True,)


async def test_clean_goodbye_hands_back_at_once_and_is_no_attempt(patient: House):
    await patient.offer(1)
    client = await patient.worker()
    await client.take(1)
    await client.leave()

    [again] = await (await patient.worker(BOB)).take(1)

    assert again.attempt == 1


async def test_unanswered_request_may_be_sent_again(patient: House):
    """Its answer was lost with the connection: it was done, and is done once."""
    await patient.offer(1)
    first = await patient.worker()
    [sent] = await first.take(1)
    await first.say(Complete(9, 0, ((sent.entry, (record(patient.told, sent),)),)))
    await first.hear(Settled)
    first.cut()

    second = await RawClient.enter(patient.url, ANN, resume=first.welcome.ticket)
    assert (await second.serve(holding=[sent.entry])).lost == (sent.entry,)
    assert await second.complete(patient.told, [sent]) == (False,)
    assert len(await patient.roles.captions()) == 1


async def test_ticket_of_another_is_worth_nothing(patient: House):
    await patient.offer(1)
    ann = await patient.worker()
    [sent] = await ann.take(1)

    bob = await RawClient.enter(patient.url, BOB, resume=ann.welcome.ticket)
    await bob.serve(holding=[sent.entry])
    await bob.credit(1)

    assert await bob.quiet(SampleSent)
    assert await ann.complete(patient.told, [sent]) == (True,)


async def test_end_of_a_proxy_sends_its_clients_to_another(
    connections: Connections, patient: House
):
    async with house(connections, patient.roles, config=PATIENT) as ending:
        await ending.offer(1)
        client = await ending.worker()
        [sent] = await client.take(1)
        closing = asyncio.create_task(client.closed())
        await asyncio.sleep(0)
    assert (await closing)[0] == Close.GOING

    second = await RawClient.enter(patient.url, ANN, resume=client.welcome.ticket)
    assert (await second.serve(holding=[sent.entry])).lost == ()
    assert await second.complete(patient.told, [sent]) == (True,)


async def test_samples_of_a_killed_proxy_run_out(own_server: RedisServer, tmp_path: Path):
    """Nobody is left to hand them back; the leases end by themselves."""

    told = settings(lease_seconds=1.0)
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path, told)
        await publish(roles)
        async with house(connections, roles) as there:
            await there.offer(1)
            document = tmp_path / "job.yaml"
            document.write_text(f"auth: {{worker_tokens: [{{name: ann, token: {ANN}}}]}}\n")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "caption_flow", "proxy", "--config", str(document)),
                *("--redis", own_server.url, "--job", roles.job.job),
                *("--host", "127.0.0.1", "--port", "0"),
                stdout=asyncio.subprocess.PIPE,
            )
            line = (await process.stdout.readline()).decode()
            client = await RawClient.enter(line.split()[-1], ANN)
            await client.serve()
            [sent] = await client.take(1)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()

            other = await there.worker(BOB)
            [again] = await other.take(1)

            assert (again.entry, again.attempt) == (sent.entry, 2)


async def test_redis_away_is_waited_for(own_server: RedisServer, frail: House):
    await frail.offer(3)
    client = await frail.worker()
    [sent] = await client.take(1)
    own_server.stop()
    await client.say(Complete(50, 0, ((sent.entry, (record(frail.told, sent),)),)))
    await client.credit(1)

    refused = await client.hear(Refused)
    own_server.start()

    assert (refused.id, refused.kind) == (50, "unreachable")
    assert str(own_server.port) not in refused.text
    await client.hear(SampleSent)
    await client.say(Complete(51, 0, ((sent.entry, (record(frail.told, sent),)),)))
    assert (await client.hear(Settled)).ours == (True,)


async def test_images_are_refused_while_redis_is_away_however_often_they_are_asked_for(
    own_server: RedisServer, frail: House
):
    await frail.offer(1)
    client = await frail.worker()
    [sent] = await client.take(1)
    await client.image()
    own_server.stop()
    for _ in range(MOST_FETCHES + 1):
        refused = await client.ask(Fetch, 0, (sent.entry,), answer=Refused)
        assert refused.kind == "unreachable"
    own_server.start()

    await client.ask(Fetch, 0, (sent.entry,), answer=Did)
    assert (await client.image())[1] == jpeg(0)


async def test_redis_that_cannot_be_used_ends_nobodys_session(home: House):
    await home.offer(2)
    client = await home.worker()
    held, _ = await client.take(2)
    await client.image()
    images = home.roles.job.lane.images
    await home.roles.client.rename(images, "aside")
    await home.roles.client.set(images, "no stream")

    refused = await client.ask(Fetch, 0, (held.entry,), answer=Refused)
    await client.credit(0, 64 << 10)
    await asyncio.sleep(0.1)

    assert refused.kind == "unfit"
    await home.roles.client.rename("aside", images)
    await client.ask(Fetch, 0, (held.entry,), answer=Did)


async def test_image_that_is_asked_for_anew_is_sent_once(home: House):
    """Whoever asks again has given up what it asked before, on a slow line."""
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    await client.image()
    [session] = home.door._sessions

    async with session.image_lock:
        for number in range(50, 50 + MOST_FETCHES + 1):
            await client.say(Fetch(number, 0, (sent.entry,)))
        await asyncio.sleep(0.1)
    done = [(await client.hear(Did)).id for _ in range(MOST_FETCHES + 1)]

    assert done == list(range(50, 50 + MOST_FETCHES + 1))
    assert (await client.image())[1] == jpeg(0)
    assert await client.quiet(ImageSent)


async def test_channel_that_was_given_up_while_redis_was_away_holds_nothing(
    own_server: RedisServer, frail: House
):
    await frail.offer(1)
    client = await frail.worker()
    await client.take(1)
    own_server.stop()
    await client.ask(Leave, 0, answer=Refused)
    own_server.start()
    client.cut()

    await until(lambda: nobody_holds(frail))


async def test_connection_that_ended_while_it_took_things_up_holds_nothing(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    adopted = asyncio.Event()
    adopt = RelayQueue.adopt

    async def slow(*told: Any) -> None:
        await adopt(*told)
        adopted.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(RelayQueue, "adopt", slow)
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    client.cut()
    second = await RawClient.enter(home.url, ANN, resume=client.welcome.ticket)
    await second.say(Serve(0, 0, None, (), (sent.entry,)))
    await adopted.wait()

    third = await RawClient.enter(home.url, ANN, resume=second.welcome.ticket)
    third.cut()

    await until(lambda: nobody_holds(home))


async def test_connection_is_closed_though_nothing_can_be_handed_back_yet(
    own_server: RedisServer, frail: House
):
    await frail.offer(1)
    client = await frail.worker()
    await client.take(1)
    own_server.stop()
    await client.connection.send("a text")

    async with asyncio.timeout(2.0):
        assert (await client.closed())[0] == Close.MALFORMED
    own_server.start()
    await until(lambda: nobody_holds(frail))


@pytest.mark.parametrize("ticket", ["", "nonsense", "0" * 64])
async def test_ticket_that_is_none_resumes_nothing(home: House, ticket: str):
    client = await RawClient.enter(home.url, ANN, resume=ticket)
    assert not client.welcome.resumes
