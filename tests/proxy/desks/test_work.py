"""A worker's way through the proxy: what it is sent, and what becomes of what it says."""

import asyncio

import msgspec
import pytest

from caption_flow.codec import records
from caption_flow.model import Counts, Failure, Reference, Sample
from caption_flow.wire.frames import (
    Beat,
    Counted,
    CountsWanted,
    Defer,
    Did,
    Fail,
    Fetch,
    ImageSent,
    Leave,
    Lost,
    Orders,
    Release,
    Renewal,
    SampleSent,
    SettingsTold,
    Settled,
    Suspect,
)
from tests.made import jpeg, settings
from tests.proxy.client import RawClient, failure, record, sample_of
from tests.proxy.house import ANN, BOB, House
from tests.roles import until


async def test_welcome_says_who_and_what_holds(home: House):
    client = await RawClient.enter(home.url, ANN)

    assert client.welcome.contributor == "ann"
    assert len(client.welcome.ticket) == 32
    assert not client.welcome.resumes
    assert client.welcome.lease_seconds == home.told.lease_seconds
    assert (await client.hear(SettingsTold)).document == home.told.encode()
    assert await client.hear(Orders) == Orders(paused=False, drain=False)


async def test_sample_and_image_come_on_credit_and_the_caption_goes_on(home: House):
    await home.offer(1)
    client = await home.worker()

    [sent] = await client.take(1)
    image, payload = await client.image()

    assert sample_of(sent).id == "00000.jpg"
    assert sent.pushed
    assert (image.entry, image.gone, payload) == (sent.entry, False, jpeg(0))
    assert await client.complete(home.told, [sent]) == (True,)
    [caption] = await home.roles.captions()
    [made] = caption.outcomes
    assert (made.contributor, made.worker, made.attempt) == ("ann", "ann/m1", 1)
    assert made.captioned_at > 1_700_000_000
    assert made.outputs == {"captions": ["a caption"]}


async def test_nothing_is_sent_without_credit(home: House):
    await home.offer(3)
    client = await home.worker()

    assert await client.quiet(SampleSent)
    await client.take(2)
    assert await client.quiet(SampleSent)
    assert len(await home.holders()) == 2


async def test_images_wait_for_credit_in_bytes(home: House):
    await home.offer(2)
    client = await home.worker()
    await client.credit(2, 0)
    for _ in range(2):
        await client.hear(SampleSent)
    assert await client.quiet(ImageSent)

    await client.credit(0, 1)  # the last one may overdraw
    await client.image()
    assert await client.quiet(ImageSent)
    await client.credit(0, len(jpeg(0)))
    await client.image()


async def test_large_images_arrive_whole(home: House):
    large = bytes(range(256)) * 4000
    await home.offer(1)
    [entry] = await home.roles.client.xrange(home.roles.job.lane.images)
    await home.roles.client.xdel(home.roles.job.lane.images, entry[0])
    lane = home.roles.job.lane
    await home.roles.client.eval(
        "redis.call('DEL', KEYS[1]); return redis.call('XADD', KEYS[1], ARGV[1], 'image', ARGV[2])",
        *(1, lane.images, entry[0], large),
    )
    client = await home.worker()
    await client.take(1)

    assert (await client.image())[1] == large


async def test_sample_that_comes_later_is_sent_at_once(home: House):
    client = await home.worker()
    await client.credit(1)
    assert await client.quiet(SampleSent)

    await home.offer(1)

    await client.hear(SampleSent)


async def test_several_that_wait_all_get_some(home: House):
    clients = [await home.worker(member=f"m{n}") for n in range(5)]
    for client in clients:
        await client.credit(1)
    await asyncio.sleep(0.1)

    await home.offer(5)

    sent = [await client.hear(SampleSent) for client in clients]
    assert len({one.entry for one in sent}) == 5


async def test_channels_hold_their_own(home: House):
    await home.offer(2)
    client = await home.worker()
    await client.serve(7)
    [first] = await client.take(1)
    await client.credit(1, channel=7)
    second = await client.hear(SampleSent)

    assert second.channel == 7
    assert len(set(await home.holders())) == 2
    assert await client.complete(home.told, [first]) == (True,)


async def test_image_that_was_not_pushed_is_fetched(home: House):
    await home.offer(2)
    client = await home.worker()
    sent = await client.take(2)
    for _ in sent:
        await client.image()
    entries = tuple(one.entry for one in sent)

    id_ = next(client.ids)
    await client.say(Fetch(id_, 0, entries))
    images = [await client.image() for _ in entries]

    assert {frame.entry: image for frame, image in images} == {
        entry: jpeg(int(sample_of(one).id[:5])) for entry, one in zip(entries, sent, strict=True)
    }
    assert (await client.hear(Did)).id == id_


async def test_image_that_is_gone_is_told_so(home: House):
    await home.offer(1)
    await home.roles.client.delete(home.roles.job.lane.images)
    client = await home.worker()
    await client.take(1)

    assert (await client.image())[0].gone


async def test_image_of_a_reference_is_not_pushed(home: House):
    await home.roles.offer([Reference("https://example.org/a.jpg")])
    client = await home.worker()
    [sent] = await client.take(1)

    assert not sent.pushed
    assert await client.quiet(ImageSent)


async def test_renewal_tells_what_was_lost(home: House):
    await home.offer(2)
    client = await home.worker()
    kept, lost = await client.take(2)
    stream = home.roles.job.lane.samples("caption")
    await home.roles.client.xclaim(stream, "workers", "another", 0, [lost.entry], justid=True)

    answer = await client.ask(Renewal, 0, (kept.entry, lost.entry), answer=Lost)

    assert answer.entries == (lost.entry,)
    assert await client.complete(home.told, [kept, lost]) == (True, False)


async def test_lease_that_runs_out_goes_to_one_who_waits(home: House):
    await home.offer(1)
    holder, waiter = await home.worker(), await home.worker(BOB)
    [sent] = await holder.take(1)
    await waiter.credit(1)
    assert await waiter.quiet(SampleSent)

    await home.roles.expire_samples()

    again = await waiter.hear(SampleSent)
    assert (again.entry, again.attempt) == (sent.entry, 2)
    assert await holder.complete(home.told, [sent]) == (False,)


async def test_failed_sample_is_a_dead_letter_of_its_contributor(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    lie = failure("truncated", stage="x", attempt=9, member="bob", at=1.0)

    answer = await client.ask(Fail, 0, ((sent.entry, lie),), answer=Settled)

    assert answer.ours == (True,)
    [letter] = (await home.roles.dead()).values()
    why = letter.failure
    assert (why.reason, why.stage, why.attempt, why.member) == ("truncated", "caption", 1, "ann/m1")
    assert why.at > 1_700_000_000


async def test_deferred_sample_comes_again_with_its_reason(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    await client.ask(Defer, 0, ((sent.entry, failure("engine"), 0.0),), answer=Did)
    [again] = await client.take(1)

    [why] = records.failures_from(b"[%b]" % again.failures)
    assert (why.reason, why.member, again.attempt) == ("engine", "ann/m1", 2)


async def test_suspicion_is_noted(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    await client.ask(Suspect, 0, sent.entry, failure("worker_died"), answer=Did)

    noted = await home.roles.client.hget(home.roles.job.lane.failures, sent.entry)
    assert msgspec.json.decode(noted, type=Failure).member == "ann/m1"


async def test_released_sample_goes_to_another_and_is_no_attempt(home: House):
    await home.offer(1)
    client, other = await home.worker(), await home.worker(BOB)
    [sent] = await client.take(1)

    await client.ask(Release, 0, (sent.entry,), answer=Did)

    [again] = await other.take(1)
    assert (again.entry, again.attempt) == (sent.entry, 1)
    assert await client.complete(home.told, [sent]) == (False,)


async def test_leaving_a_channel_hands_back_what_it_holds(home: House):
    await home.offer(2)
    client, other = await home.worker(), await home.worker(BOB)
    await client.take(2)

    await client.ask(Leave, 0, answer=Did)

    assert {one.attempt for one in await other.take(2)} == {1}
    assert (await client.serve(0)).lost == ()


async def test_books_are_counted(home: House):
    await home.offer(3)
    client = await home.worker()

    answer = await client.ask(CountsWanted, answer=Counted)

    assert answer.counts == await home.roles.counts()
    assert answer.counts.planned == 3
    assert isinstance(answer.counts, Counts)


async def test_beat_makes_a_member(home: House):
    client = await home.worker()
    await client.say(Beat("working", {"samples": 3.0}))
    await until(home.roles.job.members)

    [member] = (await home.roles.job.members()).values()
    assert (member.role, member.name, member.state) == ("worker", "ann/m1", "working")
    assert member.figures == {"samples": 3.0}

    await client.leave()
    await until(lambda: _nobody(home))


async def test_facts_of_a_beat_are_cut_to_what_whoever_watches_can_read(home: House):
    client = await home.worker()
    many = {f"fact {n}": 1000 * "ü" for n in range(19)}
    await client.say(Beat("working", {}, {"gpu": "H100", **many}))
    await until(home.roles.job.members)

    [member] = (await home.roles.job.members()).values()
    assert (member.facts["gpu"], member.facts["fact 0"]) == ("H100", 1000 * "ü")
    assert set(member.facts["fact 2"]) == {"ü"}
    assert "fact 3" not in member.facts
    assert sum(len((name + fact).encode()) for name, fact in member.facts.items()) in {4095, 4096}


async def _nobody(home: House) -> bool:
    return not await home.roles.job.members()


async def test_unreadable_sample_is_passed_over(home: House):
    await home.offer(1)
    await home.roles.client.xadd(home.roles.job.lane.samples("caption"), {"sample": b"{"})
    client = await home.worker()
    await client.credit(2)
    await client.hear(SampleSent)

    assert await client.quiet(SampleSent)


async def test_sample_that_no_frame_could_hold_is_given_up(home: House):
    sample = Sample("big.jpg", "pictures", ".", ".:0", "/big.jpg", columns={"x": "y" * (1 << 20)})
    stream = home.roles.job.lane.samples("caption")
    await home.roles.client.xadd(stream, {"sample": msgspec.json.encode(sample), "bytes": 9})
    client = await home.worker()
    await client.credit(1)
    await until(home.roles.dead)

    [letter] = (await home.roles.dead()).values()
    assert letter.failure.reason == "too_large"
    await home.offer(1)
    assert sample_of(await client.hear(SampleSent)).id == "00000.jpg"


async def test_record_is_that_of_the_streams(home: House):
    """So names that are not UTF-8 pass, and nothing is read twice."""
    await home.offer(1)
    [(_, fields)] = await home.roles.client.xrange(home.roles.job.lane.samples("caption"))
    client = await home.worker()

    assert (await client.take(1))[0].sample == fields[b"sample"]


@pytest.mark.parametrize("count", [100])
async def test_many_samples_are_each_captioned_once(home: House, count: int):
    await home.offer(count)
    clients = [await home.worker(member=f"m{n}") for n in range(4)]

    async def work(client: RawClient) -> int:
        done = 0
        await client.credit(10, 1 << 20)
        while (await home.roles.counts()).completed < count:
            try:
                async with asyncio.timeout(0.2):
                    sent = await client.hear(SampleSent)
            except TimeoutError:
                continue
            done += sum(await client.complete(home.told, [sent]))
            await client.credit(1, 1 << 10)
        return done

    made = await asyncio.gather(*map(work, clients))

    assert sum(made) == count
    assert len({caption.sample.id for caption in await home.roles.captions()}) == count


async def test_nothing_is_claimed_in_a_pause(home: House, monkeypatch: pytest.MonkeyPatch):
    client = await home.worker()
    view = home.door._common.view
    with monkeypatch.context() as patch:
        patch.setattr(view, "orders", lambda _: Orders(paused=True, drain=False))
        await until(lambda: next(iter(home.door._sessions)).orders.paused)
        await home.offer(1)
        await client.credit(1)
        assert await client.quiet(SampleSent)

    await client.hear(SampleSent)
    told = [await client.hear(Orders) for _ in range(3)]
    assert [orders.paused for orders in told] == [False, True, False]


async def test_no_connection_holds_more_than_it_may(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.proxy.desks.channel.MOST_HELD", 3)
    await home.offer(6)
    client = await home.worker()
    await client.serve(1)
    await client.credit(4)
    first = [await client.hear(SampleSent) for _ in range(3)]
    await client.credit(4, channel=1)
    assert await client.quiet(SampleSent)

    await client.complete(home.told, first[:1])

    await client.hear(SampleSent)


def test_record_of_the_tests_is_an_honest_one():
    told = settings()
    sent = SampleSent(0, "1-1", "caption", b"{}", "1-1", 1, (), b"", pushed=False)
    assert records._outcome.decode(record(told, sent)).stage == "caption"
