"""Checks of contributors: kept within bounds, and counted once, whoever repeats what."""

import asyncio

import pytest

from caption_flow.queue import checks
from caption_flow.queue.checks import MOST_DISAGREEMENTS, RedisChecks
from caption_flow.queue.connect import Connections
from caption_flow.queue.consumer import Consumer, Delivery
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.ports.checks import Disagreement, Verdict
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.probes import Probe, RedisProbes
from tests.queue.shop import IMAGE, Shop, done

AGREED = Verdict("ada", 1.0, None)
PROBE = Probe("k.jpg", "caption", b"{}", 10)


def disagreed(number: int = 0) -> Verdict:
    return Verdict("ada", 0.25, Disagreement(f"{number}", "again", "red", "blue", 0.25, 1.0))


@pytest.fixture
def shop(connections: Connections) -> Shop:
    return Shop(connections)


@pytest.fixture
def redis(shop: Shop) -> RedisChecks:
    return RedisChecks(shop.job)


@pytest.fixture
def probes(shop: Shop) -> RedisProbes:
    return RedisProbes(shop.job)


async def keep(shop: Shop, redis: RedisChecks, count: int = 1) -> list[bool]:
    """Claim samples, and keep each to be checked."""
    await shop.offer(count)
    worker = await shop.worker("ann's", "ada")
    settled = done(await worker.claim(count))
    return [await redis.keep("ann's", lease, "ada", made, 0) for lease, made in settled]


def checker(redis: RedisChecks, name: str = "tess") -> Consumer:
    return redis.consumer(["caption"], name, 60.0, None)


async def taken(consumer: Consumer) -> Delivery:
    [delivery] = await consumer.take(1, wait=False)
    return delivery


async def ada(shop: Shop) -> Contributor:
    board = RedisContributors(shop.job.connections, shop.job.job)
    found = {one.name: one for one in await board.contributors()}
    return found.get("ada", Contributor("ada"))


async def test_kept_sample_has_all_that_makes_it_again(shop: Shop, redis: RedisChecks):
    assert await keep(shop, redis) == [True]

    delivery = await taken(checker(redis))

    assert {b"sample", b"of", b"by", b"made", b"pixels", b"bytes"} == set(delivery.fields)
    assert delivery.fields[b"pixels"].startswith(IMAGE)
    pixels = await redis.pixels(delivery.stream, [delivery.entry, "1-1"])
    assert pixels == {delivery.entry: delivery.fields[b"pixels"]}


async def test_sample_is_kept_once(shop: Shop, redis: RedisChecks):
    await shop.offer(1)
    worker = await shop.worker("ann's", "ada")
    [(lease, made)] = done(await worker.claim(1))

    kept = [await redis.keep("ann's", lease, "ada", made, 0) for _ in range(2)]

    assert kept == [True, False]
    assert not await redis.keep("another's", lease, "ada", made, 0)
    await worker.complete([(lease, made)])
    delivery = await taken(checker(redis))
    await redis.judge(delivery, "caption", AGREED)
    assert not await redis.keep("ann's", lease, "ada", made, 0)  # it is not held any more
    await shop.check_books()


async def test_verdict_is_counted_once_whoever_repeats_it(shop: Shop, redis: RedisChecks):
    await keep(shop, redis)
    delivery = await taken(checker(redis))

    counted = await asyncio.gather(
        *(redis.judge(delivery, "caption", each) for each in [AGREED, disagreed()] * 3)
    )

    assert sorted(counted) == [False] * 5 + [True]
    assert (await ada(shop)).checked == 1
    assert await shop.entries(shop.lane.checks("caption")) == {}
    assert await shop.pending(shop.lane.checks("caption"), "checkers") == []


async def test_what_is_dropped_is_not_counted(shop: Shop, redis: RedisChecks):
    await keep(shop, redis)

    assert not await redis.judge(await taken(checker(redis)), "caption", "dropped")

    assert await ada(shop) == Contributor("ada")
    assert await shop.entries(shop.lane.checks("caption")) == {}


async def test_agreement_adds_up(shop: Shop, redis: RedisChecks):
    await keep(shop, redis, 3)
    consumer = checker(redis)
    for verdict in (AGREED, disagreed(), disagreed()):
        await redis.judge(await taken(consumer), "caption", verdict)

    found = await ada(shop)
    assert (found.checked, found.agreed, found.agreement) == (3, 1, 1.5)


async def test_newest_disagreements_are_kept(shop: Shop, redis: RedisChecks):
    count = MOST_DISAGREEMENTS + 3
    await keep(shop, redis, count)
    consumer = checker(redis)
    for number in range(count):
        await redis.judge(await taken(consumer), "caption", disagreed(number))

    found = await redis.disagreements("ada")

    assert [int(one.sample) for one in found] == list(reversed(range(3, count)))


@pytest.mark.parametrize(("bound", "most"), [("MOST_ENTRIES", 2), ("MOST_BYTES", 900)])
async def test_no_more_wait_than_may(
    shop: Shop, redis: RedisChecks, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
):
    monkeypatch.setattr(checks, bound, most)

    kept = await keep(shop, redis, 6)

    assert 0 < sum(kept) < 6
    waiting = await shop.redis.hget(shop.lane.checking("caption"), "bytes")
    assert bound == "MOST_ENTRIES" or int(waiting) <= most
    for _ in range(sum(kept)):
        await redis.judge(await taken(checker(redis)), "caption", AGREED)
    assert await shop.redis.hgetall(shop.lane.checking("caption")) == {b"bytes": b"0"}


async def test_check_of_a_dead_checker_goes_to_another(shop: Shop, redis: RedisChecks):
    await keep(shop, redis)
    lost = await taken(checker(redis))
    await shop.expire(shop.lane.checks("caption"))

    found = await taken(checker(redis, "another"))

    assert (found.entry, found.attempt) == (lost.entry, 2)
    assert await redis.renew(lost.stream, "tess", [lost.entry]) == {lost.entry}
    assert await redis.renew(lost.stream, "another", [lost.entry]) == set()


async def test_probe_is_lent_once_and_counted_once(shop: Shop, probes: RedisProbes):
    assert await probes.lend("ann's", "ada", "5-5", PROBE, 60_000)
    assert not await probes.lend("ann's", "ada", "6-6", PROBE, 60_000)
    assert await probes.lend("bob's", "bob", "7-7", PROBE, 60_000)
    assert await probes.shown("ada") == {"k.jpg"}

    verdicts = (disagreed(), disagreed(), "unanswered")
    counted = [await probes.judge_probe("ann's", "5-5", "ada", each) for each in verdicts]

    assert counted == [True, False, False]
    assert ((await ada(shop)).checked, (await ada(shop)).unanswered) == (1, 0)


async def test_probe_is_in_hand_for_a_lease(shop: Shop, probes: RedisProbes):
    await probes.lend("ann's", "ada", "5-5", PROBE, 60_000)
    assert await probes.renew_probes("ann's", 90_000)
    assert await shop.redis.pttl(shop.lane.probes("ann's")) > 80_000

    await shop.redis.pexpire(shop.lane.probes("ann's"), 1)
    await asyncio.sleep(0.01)

    assert not await probes.renew_probes("ann's", 90_000)
    assert not await probes.judge_probe("ann's", "5-5", "ada", AGREED)
    assert await ada(shop) == Contributor("ada")


async def test_probes_pass_to_who_comes_back(probes: RedisProbes):
    await probes.lend("ann's", "ada", "5-5", PROBE, 60_000)

    for _ in range(2):
        assert await probes.inherit("ann's", "ann's later", 60_000) == {"5-5": PROBE}

    await probes.forget_probes("ann's")  # the former connection is given up
    assert not await probes.judge_probe("ann's", "5-5", "ada", AGREED)
    assert await probes.judge_probe("ann's later", "5-5", "ada", AGREED)


async def test_all_proxies_have_one_key(probes: RedisProbes):
    assert await probes.seal_key(b"first") == b"first"
    assert await probes.seal_key(b"second") == b"first"
