"""The link: what is cut is taken up again, with what was held and asked for."""

import asyncio

import pytest

from caption_flow.errors import (
    ServerUnreachable,
)
from caption_flow.remote.channel import WINDOW
from caption_flow.remote.work import RemoteWorkQueue
from caption_flow.wire.frames import (
    Complete,
    Did,
    Fetch,
    ImageSent,
    Lost,
    Renewal,
    Settled,
)
from tests.queue.shop import done
from tests.remote.stub import StubProxy, entry, sample_sent
from tests.remote.test_work import claimed
from tests.roles import until


@pytest.mark.usefixtures("link")
async def test_next_connection_resumes_with_the_last_ticket(stub: StubProxy):
    first = await stub.visit(0)
    first.cut()
    second = await stub.visit(1)

    assert (first.hello.resume, second.hello.resume) == ("", "ticket 0")
    assert stub.headers[1]["Authorization"] == "Bearer cf_secret"


async def test_channel_is_opened_again_with_what_it_holds(stub: StubProxy, queue: RemoteWorkQueue):
    stub.welcome["resumes"] = True
    first, _ = await claimed(stub, queue, 0)
    await first.give(1)
    await until(queue._channel.unclaimed)
    first.cut()
    second = await stub.visit(1)
    await second.credited(0)
    await until(lambda: second.serves)

    assert set(second.serves[0].holding) == {entry(0), entry(1)}


async def test_what_is_held_is_asked_for_under_all_tickets_since_it_was(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """Whether a proxy took it up before another cut, nobody knows."""
    stub.welcome["resumes"] = True
    first, _ = await claimed(stub, queue, 0)
    stub.opens = False
    first.cut()
    for number in (1, 2):
        visit = await stub.visit(number)
        await until(lambda visit=visit: visit.serves)
        visit.cut()
    stub.opens = True
    last = await stub.visit(3)
    await last.credited(0)
    await until(lambda: last.serves)

    assert (last.hello.resume, last.serves[0].holding) == ("ticket 2", (entry(0),))
    assert last.serves[0].tickets == ("ticket 0", "ticket 1")
    assert last.hello.tickets == ()


async def test_credit_is_given_anew(stub: StubProxy, queue: RemoteWorkQueue):
    first, _ = await claimed(stub, queue, 0)
    await queue.claim(5)
    first.cut()
    second = await stub.visit(1)

    await second.credited(5)
    assert second.credit == [5, WINDOW - len(b"pixels")]


async def test_request_without_an_answer_is_sent_again_after_the_channel_is_open(
    stub: StubProxy, queue: RemoteWorkQueue
):
    stub.welcome["resumes"] = True
    first, leases = await claimed(stub, queue, 0, 1)
    settling = asyncio.create_task(queue.complete(done(leases)))
    await first.next(Complete)
    first.cut()
    second = await stub.visit(1)
    again = await second.next(Complete)
    await second.send(Settled(again.id, (True, False)))

    assert second.serves[0].id < again.id
    assert [named for named, _ in again.done] == [entry(0), entry(1)]
    assert await settling == [True, False]


async def test_nothing_is_asked_about_what_was_lost_in_a_cut(
    stub: StubProxy, queue: RemoteWorkQueue
):
    stub.welcome["resumes"] = True
    first, leases = await claimed(stub, queue, 0, 1, 2)
    settling = asyncio.create_task(queue.complete(done(leases[:2])))
    await first.next(Complete)
    stub.lost = (entry(0), entry(2))
    first.cut()
    second = await stub.visit(1)
    again = await second.next(Complete)
    await second.send(Settled(again.id, (True,)))

    assert [named for named, _ in again.done] == [entry(1)]
    assert await settling == [False, True]
    async with queue.renewals() as renew:
        assert await renew(leases[2:]) == leases[2:]
    assert await queue.complete(done(leases[2:])) == [False]


async def test_nothing_is_asked_about_what_was_settled_before_a_cut(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """The next proxy has never heard of it, and would take it for a breach."""
    stub.welcome["resumes"] = True
    first, leases = await claimed(stub, queue, 0, 1)
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew(leases))
        await first.next(Renewal)
        settling = asyncio.create_task(queue.complete(done(leases[:1])))
        await first.send(Settled((await first.next(Complete)).id, (True,)))
        await settling
        first.cut()
        second = await stub.visit(1)
        again = await second.next(Renewal)
        await second.send(Lost(again.id, ()))

        assert again.entries == (entry(1),)
        assert await renewing == leases[:1]


async def test_what_one_frame_cannot_name_is_lost_with_its_connection(
    stub: StubProxy, queue: RemoteWorkQueue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.remote.talk.MOST_ENTRIES", 1)
    stub.welcome["resumes"] = True
    first, leases = await claimed(stub, queue, 0, 1)
    first.cut()
    second = await stub.visit(1)
    await until(lambda: second.serves)
    await until(lambda: queue._channel.open)
    settling = asyncio.create_task(queue.complete(done(leases)))
    asked = await second.next(Complete)
    await second.send(Settled(asked.id, (True,)))

    assert [named for named, _ in asked.done] == [entry(0)]
    assert await settling == [True, False]


async def test_all_is_lost_where_the_ticket_is_not_taken_up(
    stub: StubProxy, queue: RemoteWorkQueue
):
    first, leases = await claimed(stub, queue, 0)
    settling = asyncio.create_task(queue.complete(done(leases)))
    await first.next(Complete)
    first.cut()

    assert await settling == [False]
    assert (await stub.visit(1)).serves[0].holding == ()


async def test_image_that_was_on_its_way_is_asked_for(stub: StubProxy, queue: RemoteWorkQueue):
    stub.welcome["resumes"] = True
    first, _ = await claimed(stub, queue, 0)
    await first.send(sample_sent(1))
    leases = await queue.claim(1)
    reading = asyncio.create_task(queue.images(leases))
    await asyncio.sleep(0.02)
    first.cut()
    second = await stub.visit(1)
    wanted = await second.next(Fetch)
    await second.send(ImageSent(0, entry(1)), b"at last")
    await second.send(Did(wanted.id))

    assert await reading == {entry(1): b"at last"}


async def test_calls_are_told_of_a_long_cut_and_may_be_repeated(
    stub: StubProxy, queue: RemoteWorkQueue
):
    stub.welcome["resumes"] = True
    first, leases = await claimed(stub, queue, 0)
    stub.refuse(503, "going")
    first.cut()

    with pytest.raises(ServerUnreachable, match="no connection"):
        await queue.complete(done(leases))
    assert await queue.claim(1) == []
    stub.refusal = None
    settling = asyncio.create_task(queue.complete(done(leases)))
    second = await stub.visit(1)
    await second.send(Settled((await second.next(Complete)).id, (True,)))
    assert await settling == [True]
