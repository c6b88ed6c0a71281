"""Admission: connections, samples and bytes of a token are bounded, over all proxies."""

import asyncio
from collections.abc import Sequence

import pytest

from caption_flow.grants import Grant
from caption_flow.proxy.admission import accounts, presence
from caption_flow.proxy.admission.admission import TokenAdmission, token_admission
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens
from caption_flow.queue.usage import STAY_SECONDS
from tests.proxy.admission.admitting import WIDE, Open, job, opened, tokens
from tests.proxy.house import grant
from tests.redis_server import RedisServer
from tests.roles import until

__all__ = ["job", "opened", "tokens"]


# Connections


async def test_connections_are_counted_over_all_proxies(opened: Open):
    anna = grant("Anna", "a", max_workers=2)
    one, two = await opened(anna), await opened(anna)

    assert await one.enter(anna, "1")
    assert await two.enter(anna, "2")
    assert not await one.enter(anna, "3")
    assert await two.enter(anna, "1 again", instead_of="1")
    await two.leave(anna, "2")
    assert await one.enter(anna, "3")


async def test_connections_are_kept_for_as_long_as_their_proxy_lives(
    opened: Open, job: RedisJob, monkeypatch: pytest.MonkeyPatch
):
    assert 2 * presence.TELL_SECONDS < STAY_SECONDS
    monkeypatch.setattr(presence, "TELL_SECONDS", 0.05)
    anna = grant("Anna", "a", max_workers=1)
    one, two = await opened(anna), await opened(anna)
    await one.enter(anna, "1")
    ends = set()  # when it counted no more, had nothing been told since

    async def is_told_again_and_again() -> bool:
        ends.add(await job.client.zscore(job.keys.sessions("worker", "Anna"), "1"))
        return len(ends) > 5

    await until(is_told_again_and_again)
    assert not await two.enter(anna, "2")
    await one.leave(anna, "1")
    assert await two.enter(anna, "2")


async def test_connection_counts_as_soon_as_redis_answers(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.proxy.admission.presence.TELL_SECONDS", 0.05)
    anna = grant("Anna", "a", max_workers=1)
    async with connect(own_server.url, role="test") as wires:
        job = RedisJob(wires, "job")
        async with token_admission(job, (anna,), WIDE) as admission:
            own_server.kill()
            assert await admission.enter(anna, "1")
            own_server.start()

            async def counts() -> bool:
                return int(await job.client.zcard(job.keys.sessions("worker", "Anna"))) == 1

            await until(counts)
            assert not await admission.enter(anna, "2")


# Allowances


async def use_up(proxies: Sequence[TokenAdmission], grant: Grant, *, size: int = 1) -> int:
    """Let several connections of each proxy take what they get, until nobody gets any."""
    sent = 0

    async def connection(admission: TokenAdmission) -> None:
        nonlocal sent
        while True:
            allowance = await admission.allowance(grant, 64)
            if not allowance.samples and allowance.why:
                return
            await asyncio.sleep(0.001)
            sent += allowance.samples
            await admission.spend(
                grant,
                allowed=allowance.samples,
                samples=allowance.samples,
                bytes_=allowance.samples * size,
            )

    await asyncio.gather(*(connection(one) for one in proxies for _ in range(4)))
    return sent


async def test_token_without_limits_has_all_it_asks_for(opened: Open):
    admission = await opened(anna := grant("Anna", "a"))

    assert (await admission.allowance(anna, 64)).samples == 64


async def test_limit_holds_though_it_is_newer_than_what_was_allowed(
    opened: Open, tokens: RedisTokens
):
    await tokens.put(anna := grant("Anna", "a"))
    admission = await opened()
    allowed = (await admission.allowance(anna, 64)).samples
    limited = grant("Anna", "a", samples_per_minute=10)
    await tokens.put(limited, instead_of=anna.sha256)
    await until(lambda: admission.current(anna) == limited)
    assert (await admission.allowance(anna, 0)).samples == 0

    await admission.spend(anna, allowed=allowed, samples=0, bytes_=0)

    assert (await admission.allowance(anna, 64)).samples == 1


@pytest.mark.parametrize("limit", [1, 7, 200, 1000])
async def test_samples_of_a_minute_are_bounded_over_all_proxies(opened: Open, limit: int):
    anna = grant("Anna", "a", samples_per_minute=limit)
    proxies = [await opened(anna), await opened(anna)]

    sent = await use_up(proxies, anna)

    assert limit <= sent <= limit + 2 * max(1, limit // 20)


@pytest.mark.parametrize(("limit", "size"), [(1 << 20, 1000), (100, 1000), (1 << 30, 1 << 20)])
async def test_bytes_of_a_day_are_bounded_over_all_proxies(opened: Open, limit: int, size: int):
    anna = grant("Anna", "a", bytes_per_day=limit)
    proxies = [await opened(anna), await opened(anna)]

    sent = await use_up(proxies, anna, size=size) * size

    batch = max(size, limit // 20)
    assert limit <= sent <= limit + 2 * batch


async def test_what_was_used_holds_for_a_proxy_that_comes_later(opened: Open, job: RedisJob):
    anna = grant("Anna", "a", samples_per_minute=40)
    async with token_admission(job, (anna,), WIDE) as first:
        allowance = await first.allowance(anna, 1)
        await first.spend(anna, allowed=allowance.samples, samples=1, bytes_=9)

    assert await use_up([await opened(anna)], anna) == 39


async def test_what_was_allowed_and_not_sent_is_free_again(opened: Open):
    anna = grant("Anna", "a", samples_per_minute=3)
    admission = await opened(anna)
    for _ in range(10):
        allowance = await admission.allowance(anna, 64)
        assert allowance.samples
        await admission.spend(anna, allowed=allowance.samples, samples=0, bytes_=0)

    assert await use_up([admission], anna) == 3


async def test_limit_is_told_in_words(opened: Open):
    anna = grant("Anna", "a", samples_per_minute=1, bytes_per_day=10_000)
    admission = await opened(anna)
    await use_up([admission], anna)

    allowance = await admission.allowance(anna, 1)
    assert allowance.why.startswith('The token of "Anna" has reached its limit.')
    assert 0 < allowance.wait <= accounts.MOST_SECONDS


async def test_raised_limit_holds_at_once(opened: Open, tokens: RedisTokens):
    low = grant("Anna", "a", bytes_per_day=1)
    await tokens.put(low)
    admission = await opened()
    await use_up([admission], low)
    await tokens.put(grant("Anna", "a", bytes_per_day=10), instead_of=low.sha256)

    async def has_more() -> bool:
        return (await admission.allowance(low, 1)).samples == 1

    await until(has_more)


async def test_redis_is_asked_in_batches(opened: Open, job: RedisJob):
    anna = grant("Anna", "a", samples_per_minute=100_000, bytes_per_day=1 << 40)
    admission = await opened(anna)

    async def scripts() -> int:
        return int((await job.client.info("commandstats"))["cmdstat_evalsha"]["calls"])

    await admission.allowance(anna, 1)
    await admission.spend(anna, allowed=1, samples=1, bytes_=1000)
    before = await scripts()
    for _ in range(10_000):
        allowance = await admission.allowance(anna, 1)
        await admission.spend(anna, allowed=1, samples=allowance.samples, bytes_=1000)

    assert await scripts() - before < 100


async def test_token_that_was_removed_gets_nothing(opened: Open, tokens: RedisTokens):
    await tokens.put(anna := grant("Anna", "a"))
    admission = await opened()
    await tokens.remove("Anna", "worker")
    await until(lambda: not admission.current(anna))

    assert (await admission.allowance(anna, 5)).samples == 0
    assert not await admission.enter(anna, "1")
