"""RemoteWorkQueue: credit, images and answers, frame by frame."""

import asyncio

import pytest

from caption_flow.model import Failure, Lease
from caption_flow.remote.channel import WINDOW
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from caption_flow.wire.frames import (
    Complete,
    Defer,
    Did,
    Fail,
    Fetch,
    ImageSent,
    Leave,
    Lost,
    Refused,
    Release,
    Renewal,
    Settled,
    Suspect,
)
from tests.queue.shop import deferred, done, failed, failure_of
from tests.remote.stub import StubProxy, Visit, entry, sample_sent
from tests.roles import until


async def claimed(
    stub: StubProxy, queue: RemoteWorkQueue, *numbers: int, image: bytes | None = b"pixels"
) -> tuple[Visit, list[Lease]]:
    """A visit, and leases of samples of these numbers."""
    visit = await stub.visit()
    claiming = asyncio.create_task(queue.claim(len(numbers)))
    await visit.credited(len(numbers))
    await visit.give(*numbers, image=image)
    leases = await claiming
    while len(leases) < len(numbers):
        leases += await queue.claim(len(numbers) - len(leases))
    return visit, leases


async def test_claim_gives_what_was_sent_on_its_credit(stub: StubProxy, queue: RemoteWorkQueue):
    _, leases = await claimed(stub, queue, 0, 1, 2)

    assert [lease.sample.id for lease in leases] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert {(lease.stage, lease.attempt) for lease in leases} == {("caption", 1)}


async def test_credit_is_given_for_what_is_wanted_and_not_on_its_way(
    stub: StubProxy, queue: RemoteWorkQueue
):
    visit = await stub.visit()
    await queue.claim(5)
    await queue.claim(5)
    await queue.claim(7)

    await visit.credited(7)
    assert visit.credit == [7, WINDOW]


async def test_claim_of_nothing_is_empty(stub: StubProxy, queue: RemoteWorkQueue):
    await stub.visit()

    assert await queue.claim(3) == []


async def test_images_that_were_pushed_are_taken_and_their_credit_is_given_again(
    stub: StubProxy, queue: RemoteWorkQueue
):
    visit, leases = await claimed(stub, queue, 0, 1)

    assert await queue.images(leases) == {entry(0): b"pixels", entry(1): b"pixels"}

    await until(lambda: visit.credit[1] == WINDOW + 2 * len(b"pixels"))


async def test_image_that_was_not_pushed_is_asked_for(stub: StubProxy, queue: RemoteWorkQueue):
    visit, leases = await claimed(stub, queue, 0, 1, image=None)
    reading = asyncio.create_task(queue.images(leases))
    wanted = await visit.next(Fetch)
    await visit.send(ImageSent(0, entry(1)), b"pixels")
    await visit.send(ImageSent(0, entry(0), gone=True))
    await visit.send(Did(wanted.id))

    assert wanted.entries == (entry(0), entry(1))
    assert await reading == {entry(1): b"pixels"}
    assert visit.credit[1] == WINDOW


async def test_image_that_never_came_of_a_fetch_is_gone(stub: StubProxy, queue: RemoteWorkQueue):
    visit, leases = await claimed(stub, queue, 0, image=None)
    reading = asyncio.create_task(queue.images(leases))
    await visit.send(Did((await visit.next(Fetch)).id))

    assert await reading == {}


async def test_images_wait_for_no_sample_that_was_dropped(stub: StubProxy, queue: RemoteWorkQueue):
    visit, _ = await claimed(stub, queue, 0)
    await visit.send(sample_sent(1))
    leases = await queue.claim(1)
    reading = asyncio.create_task(queue.images(leases))
    await asyncio.sleep(0.05)
    queue.drop(leases)

    assert await reading == {}


async def test_image_of_a_settled_sample_gives_its_credit_back(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """As where nobody looks at it: a stage that shows none, or a sample that is given up."""
    visit, leases = await claimed(stub, queue, 0)
    settling = asyncio.create_task(queue.complete(done(leases)))
    await visit.send(Settled((await visit.next(Complete)).id, (True,)))
    await settling

    await until(lambda: visit.credit[1] == WINDOW + len(b"pixels"))


async def test_answers_are_those_of_the_proxy(stub: StubProxy, queue: RemoteWorkQueue):
    visit, leases = await claimed(stub, queue, 0, 1, 2)
    settling = asyncio.create_task(queue.complete(done(leases)))
    await visit.send(Settled((await visit.next(Complete)).id, (True, False, True)))

    assert await settling == [True, False, True]


async def test_sample_is_settled_once(stub: StubProxy, queue: RemoteWorkQueue):
    """What is not ours any more is not even asked about: it would be a breach."""
    visit, leases = await claimed(stub, queue, 0)
    releasing = asyncio.create_task(queue.release(leases))
    await visit.send(Did((await visit.next(Release)).id))
    await releasing

    assert await queue.complete(done(leases)) == [False]
    assert await queue.fail(failed(leases)) == [False]


async def test_many_samples_are_settled_in_several_frames(stub: StubProxy, queue: RemoteWorkQueue):
    visit, leases = await claimed(stub, queue, *range(300))
    settling = asyncio.create_task(queue.fail(failed(leases)))
    sizes = []
    for _ in range(2):
        frame = await visit.next(Fail)
        sizes.append(len(frame.failed))
        await visit.send(Settled(frame.id, (True,) * len(frame.failed)))

    assert await settling == [True] * 300
    assert sizes == [256, 44]


async def test_caption_that_no_proxy_takes_makes_its_sample_a_dead_letter(
    stub: StubProxy, queue: RemoteWorkQueue
):
    visit, leases = await claimed(stub, queue, 0, 1)
    [small, large] = done(leases)
    [outcome] = large[1]
    outcome.outputs["caption"] = ["x" * 300_000]
    settling = asyncio.create_task(queue.complete([small, large]))
    refused = await visit.next(Fail)
    await visit.send(Settled(refused.id, (True,)))
    await visit.send(Settled((await visit.next(Complete)).id, (True,)))

    assert await settling == [True, False]
    assert [named for named, _ in refused.failed] == [entry(1)]


async def test_failure_of_many_words_is_cut(stub: StubProxy, queue: RemoteWorkQueue):
    visit, [lease] = await claimed(stub, queue, 0)
    failure = Failure("decode", "x" * 300_000, 1.0, "caption", 1, "worker")
    settling = asyncio.create_task(queue.fail([(lease, failure)]))
    frame = await visit.next(Fail)
    await visit.send(Settled(frame.id, (True,)))

    assert await settling == [True]
    assert len(frame.failed[0][1]) < 2000


async def test_renewal_names_what_nobody_has_claimed_yet(stub: StubProxy, queue: RemoteWorkQueue):
    visit, leases = await claimed(stub, queue, 0)
    await visit.give(1, 2)
    await until(lambda: len(queue._channel.unclaimed()) == 2)
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew(leases))
        frame = await visit.next(Renewal)
        await visit.send(Lost(frame.id, (entry(0), entry(2))))

        assert await renewing == leases
    assert set(frame.entries) == {entry(0), entry(1), entry(2)}
    assert [lease.entry for lease in await queue.claim(5)] == [entry(1)]


async def test_renewal_names_once_what_comes_again_while_it_is_handed_back(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """A proxy turns away for good who names it twice."""
    visit, leases = await claimed(stub, queue, 0)
    deferring = asyncio.create_task(queue.defer(deferred(leases)))
    await visit.next(Defer)
    await visit.give(0)
    await until(queue._channel.unclaimed)
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew(leases))
        frame = await visit.next(Renewal)

    assert frame.entries == (entry(0),)
    renewing.cancel()
    deferring.cancel()


async def test_many_leases_are_renewed_in_several_frames(
    stub: StubProxy, queue: RemoteWorkQueue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.remote.work.MOST_ENTRIES", 2)
    visit, leases = await claimed(stub, queue, *range(5))
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew(leases))
        for number in range(3):
            frame = await visit.next(Renewal)
            await visit.send(Lost(frame.id, frame.entries[:1] if number == 1 else ()))

        assert await renewing == [leases[2]]


async def test_sample_that_comes_again_waits_until_the_worker_has_let_go_of_it(
    stub: StubProxy, queue: RemoteWorkQueue
):
    visit, leases = await claimed(stub, queue, 0)
    deferring = asyncio.create_task(queue.defer(deferred(leases)))
    asked = await visit.next(Defer)
    await visit.give(0)
    assert await queue.claim(1) == []
    await visit.send(Did(asked.id))
    await deferring

    [again] = await queue.claim(1)
    assert again.entry == entry(0)
    settling = asyncio.create_task(queue.complete(done([again])))
    await visit.send(Settled((await visit.next(Complete)).id, (True,)))
    assert await settling == [True]


async def test_who_hands_back_gets_nothing_more_until_it_claims_again(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """As a worker does that ends: what was on its way to it is for others too."""
    visit, leases = await claimed(stub, queue, 0)
    await queue.claim(5)
    await visit.give(1, 2)
    await until(lambda: len(queue._channel.unclaimed()) == 2)
    releasing = asyncio.create_task(queue.release(leases))
    for entries in [(entry(0),), (entry(1), entry(2))]:
        frame = await visit.next(Release)
        assert frame.entries == entries
        await visit.send(Did(frame.id))
    await releasing
    assert visit.serves[-1].only == ()

    await queue.claim(1)
    assert visit.serves[-1].only is None


async def test_what_a_busy_role_does_not_claim_is_for_others(
    stub: StubProxy, queue: RemoteWorkQueue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.remote.work.IDLE_SECONDS", 0.05)
    visit, leases = await claimed(stub, queue, 0)
    await queue.claim(1)
    await visit.give(1)
    await until(queue._channel.unclaimed)
    await asyncio.sleep(0.1)
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew(leases))
        released = await visit.next(Release)
        await visit.send(Did(released.id))
        renewed = await visit.next(Renewal)
        await visit.send(Lost(renewed.id, ()))

        assert await renewing == []
    assert released.entries == (entry(1),)
    assert renewed.entries == (entry(0),)


async def test_what_comes_while_nothing_is_wanted_is_for_others(
    stub: StubProxy, queue: RemoteWorkQueue
):
    """It was on its way."""
    visit, leases = await claimed(stub, queue, 0)
    await queue.claim(1)
    releasing = asyncio.create_task(queue.release(leases))
    await visit.send(Did((await visit.next(Release)).id))
    await releasing
    await visit.give(1)
    await until(queue._channel.unclaimed)
    async with queue.renewals() as renew:
        renewing = asyncio.create_task(renew([]))
        released = await visit.next(Release)
        await visit.send(Did(released.id))
        await renewing

    assert released.entries == (entry(1),)


async def test_what_could_not_be_handed_back_is_not_held(stub: StubProxy, queue: RemoteWorkQueue):
    """Nobody would renew or claim it, and its image would stand in the way of others for ever."""
    stub.welcome["resumes"] = True
    visit, leases = await claimed(stub, queue, 0)
    await queue.claim(1)
    await visit.give(1)
    await until(queue._channel.unclaimed)
    releasing = asyncio.create_task(queue.release(leases))
    await visit.send(Did((await visit.next(Release)).id))
    refused = await visit.next(Release)
    await visit.send(Refused(refused.id, "unreachable", "Redis is away."))
    await releasing
    visit.cut()
    await until(lambda: len(stub._visits) > 1 and stub._visits[1].serves)

    assert (await stub.visit(1)).serves[0].holding == ()
    assert queue._channel._stored == 0


async def test_sample_that_cannot_be_read_costs_no_credit(stub: StubProxy, queue: RemoteWorkQueue):
    visit = await stub.visit()
    await queue.claim(2)
    await visit.send(sample_sent(0, sample=b"{", pushed=False))
    await visit.give(1)
    await until(queue._channel.unclaimed)
    await queue.claim(2)
    await queue.claim(2)

    assert visit.credit[0] == 4


async def test_closed_channel_gives_its_number_to_the_next(
    stub: StubProxy, queue: RemoteWorkQueue, link: Link
):
    visit = await stub.visit()
    await queue.claim(1)
    other = RemoteWorkQueue(link)
    await other.serve(["caption"], lease_seconds=60.0)
    await other.claim(1)
    closing = asyncio.create_task(other.close())
    left = await visit.next(Leave)
    await visit.send(Did(left.id))
    await closing

    assert left.channel == 1
    assert link.channel().number == 1


async def test_note_on_a_suspect_is_sent(stub: StubProxy, queue: RemoteWorkQueue):
    visit, [lease] = await claimed(stub, queue, 0)
    noting = asyncio.create_task(queue.suspect(lease, failure_of(lease)))
    frame = await visit.next(Suspect)
    await visit.send(Did(frame.id))
    await noting

    assert frame.entry == entry(0)
