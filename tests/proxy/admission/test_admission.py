"""Admission: tokens of the document and of Redis let in, limits hold over all proxies."""

import asyncio
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.datastructures import Headers

from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant, digest, new_token
from caption_flow.proxy.admission import accounts, token_watch
from caption_flow.proxy.admission.admission import TokenAdmission, token_admission
from caption_flow.proxy.ports import Admission, Refusal
from caption_flow.queue.connect import Connections, connect
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens
from tests.redis_server import RedisServer
from tests.roles import until

FAR = "203.0.113.7"
WIDE = ProxyConfig(handshakes_per_minute=1_000_000, failed_logins=1_000_000)
SOON = 1.0  # second: within it, each proxy follows an edit


def grant_of(name: str, token: str, **limits: Any) -> Grant:
    return Grant(name=name, role="worker", sha256=digest(token), **limits)


def bearing(token: str, **others: str) -> Headers:
    return Headers({"Authorization": f"Bearer {token}", **others})


@pytest.fixture
def job(connections: Connections) -> RedisJob:
    return RedisJob(connections, "job")


@pytest.fixture
def tokens(job: RedisJob) -> RedisTokens:
    return RedisTokens(job)


Open = Callable[..., Any]


@pytest.fixture
async def opened(job: RedisJob) -> AsyncIterator[Open]:
    """Open the admission of a proxy; several make several proxies."""
    async with AsyncExitStack() as stack:

        async def enter(*listed: Grant, config: ProxyConfig = WIDE) -> TokenAdmission:
            return await stack.enter_async_context(token_admission(job, listed, config))

        yield enter


async def status(admission: Admission, token: str, address: str = FAR) -> int:
    """What a login is answered; 0: it is let in."""
    answer = await admission.admit(bearing(token), address)
    return answer.status if isinstance(answer, Refusal) else 0


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """What happens here must be done in time; all edits are read by then."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


# Tokens


async def test_tokens_of_document_and_of_redis_let_in(opened: Open, tokens: RedisTokens):
    ben = grant_of("Ben", "of Redis", stages=("look",))
    await tokens.put(ben)
    admission = await opened(anna := grant_of("Anna", "listed"))

    assert await admission.admit(bearing("listed"), FAR) == anna
    assert await admission.admit(bearing("of Redis"), FAR) == ben
    assert await status(admission, "another") == 401


@pytest.mark.parametrize(
    "headers",
    [
        Headers(),
        Headers({"Authorization": ""}),
        Headers({"Authorization": "Bearer"}),
        Headers({"Authorization": "Bearer "}),
        Headers({"Authorization": "Basic listed"}),
        Headers({"Authorization": "Bearer ä"}),
        Headers([("Authorization", "Bearer listed"), ("Authorization", "Bearer listed")]),
        Headers({"Authorization": f"Bearer {digest('listed')}"}),
        Headers({"Authorization": "Bearer Listed"}),
    ],
)
async def test_request_without_a_token_is_refused(opened: Open, headers: Headers):
    answer = await (await opened(grant_of("Anna", "listed"))).admit(headers, FAR)

    assert isinstance(answer, Refusal)
    assert answer.status == 401


async def test_expired_token_is_refused_as_an_unknown_one_is(opened: Open):
    admission = await opened(grant_of("Anna", "old", expires=time.time() - 1))

    assert await admission.admit(bearing("old"), FAR) == await admission.admit(bearing("x"), FAR)


async def test_each_token_is_compared_whoever_is_asked_for(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    compared = []
    same = token_watch.hmac.compare_digest
    monkeypatch.setattr(
        token_watch.hmac, "compare_digest", lambda a, b: compared.append(a) or same(a, b)
    )
    admission = await opened(*(grant_of(f"{n}", f"{n}") for n in range(5)))

    for token in ("0", "4"):
        compared.clear()
        await status(admission, token)
        assert len(compared) == 5


async def test_token_that_was_just_added_lets_in_at_once(
    opened: Open, tokens: RedisTokens, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(token_watch, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(token_watch, "UNKNOWN_SECONDS", 0.0)
    admission = await opened()
    await tokens.put(grant_of("Anna", "new"))

    assert await status(admission, "new") == 0


async def test_edits_are_followed_by_each_proxy_within_a_second(opened: Open, tokens: RedisTokens):
    """Removed, replaced, expired: its connections are told so."""
    grants = [grant_of(name, name) for name in ("removed", "replaced", "expired", "kept")]
    for grant in grants:
        await tokens.put(grant)
    proxies = [await opened(), await opened()]
    assert all(one.current(grant) for one in proxies for grant in grants)

    async with within(SOON):
        await tokens.remove("removed", "worker")
        await tokens.put(grant_of("replaced", "new"), instead_of=digest("replaced"))
        ended = grant_of("expired", "expired", expires=time.time() + 0.3)
        await tokens.put(ended, instead_of=digest("expired"))
        for one in proxies:
            await until(lambda one=one: not any(one.current(grant) for grant in grants[:3]))

    assert all(one.current(grants[3]) for one in proxies)
    assert [await status(one, "removed") for one in proxies] == [401, 401]
    assert [await status(one, "expired") for one in proxies] == [401, 401]
    assert [await status(one, "new") for one in proxies] == [0, 0]


async def test_token_of_the_document_cannot_be_removed_in_redis(opened: Open, tokens: RedisTokens):
    admission = await opened(anna := grant_of("Anna", "listed"))
    await tokens.remove("Anna", "worker")
    await tokens.put(grant_of("Ben", "mark"))

    async def has_heard() -> bool:
        return await status(admission, "mark") == 0

    await until(has_heard)
    assert admission.current(anna)
    assert await status(admission, "listed") == 0


async def test_limits_that_are_changed_close_nothing(opened: Open, tokens: RedisTokens):
    await tokens.put(old := grant_of("Anna", "a"))
    admission = await opened()
    await tokens.put(new := grant_of("Anna", "a", max_workers=1), instead_of=old.sha256)

    async def changed() -> bool:
        return await admission.admit(bearing("a"), FAR) == new

    await until(changed)
    assert admission.current(old)
    assert await admission.enter(old, "1")
    assert not await admission.enter(old, "2")


# What Redis forgets


async def test_emptied_redis_is_told_what_was_known(
    opened: Open, tokens: RedisTokens, job: RedisJob
):
    for name in ("Anna", "Ben", "Cleo"):
        await tokens.put(grant_of(name, name))
    await tokens.remove("Cleo", "worker")
    admission = await opened()
    await job.client.flushall()
    await tokens.remove("Ben", "worker")

    async def is_back() -> bool:
        return [grant.name for grant in await tokens.grants()] == ["Anna"]

    async def is_followed() -> bool:
        told = [await status(admission, name) for name in ("Anna", "Ben", "Cleo")]
        return told == [0, 401, 401]

    await until(is_back)
    await until(is_followed)


async def test_emptied_redis_locks_nobody_out(opened: Open, tokens: RedisTokens, job: RedisJob):
    await tokens.put(anna := grant_of("Anna", "a"))
    admission = await opened()
    await job.client.flushall()

    for _ in range(20):
        assert admission.current(anna)
        await asyncio.sleep(0.05)


async def test_two_proxies_bring_back_what_either_knew(
    opened: Open, tokens: RedisTokens, job: RedisJob
):
    await tokens.put(grant_of("Anna", "a"))
    await opened()
    await opened()
    await job.client.flushall()
    await tokens.put(grant_of("Ben", "b"))

    async def are_there() -> bool:
        return [grant.name for grant in await tokens.grants()] == ["Anna", "Ben"]

    await until(are_there)
    await asyncio.sleep(1.2)
    mark = await tokens.mark()
    await asyncio.sleep(1.2)
    assert await tokens.mark() == mark  # they are not at it for ever


async def test_nobody_is_sent_away_before_redis_has_told_who_is_good(own_server: RedisServer):
    own_server.pause()
    async with connect(own_server.url, role="test") as wires:
        job = RedisJob(wires, "job")
        own_server.kill()
        async with token_admission(job, (grant_of("Anna", "listed"),), WIDE) as admission:
            assert await status(admission, "listed") == 0
            assert await status(admission, "in Redis") == 503

            own_server.start()
            await RedisTokens(job).put(grant_of("Ben", "in Redis"))

            async def lets_in() -> bool:
                return await status(admission, "in Redis") == 0

            await until(lets_in)


async def test_nobody_is_sent_away_while_redis_does_not_tell_who_is_good(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    """Somebody may have been let in elsewhere meanwhile."""
    monkeypatch.setattr(token_watch, "STALE_SECONDS", 0.5)
    async with connect(own_server.url, role="test") as wires:
        job = RedisJob(wires, "job")
        await RedisTokens(job).put(anna := grant_of("Anna", "a"))
        async with token_admission(job, (), WIDE) as admission:
            assert await status(admission, "unknown") == 401
            own_server.kill()

            async def cannot_tell() -> bool:
                return await status(admission, "unknown") == 503

            await until(cannot_tell)
            assert await status(admission, "a") == 0
            assert admission.current(anna)


# Addresses


async def test_address_that_connects_too_often_waits(opened: Open):
    config = ProxyConfig(handshakes_per_minute=3)
    admission = await opened(grant_of("Anna", "a"), config=config)
    assert [await status(admission, "a") for _ in range(4)] == [0, 0, 0, 429]

    answer = await admission.admit(bearing("a"), FAR)
    assert isinstance(answer, Refusal)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert await status(admission, "a", "203.0.113.8") == 0


async def test_address_of_failed_logins_waits(opened: Open, caplog: pytest.LogCaptureFixture):
    admission = await opened(grant_of("Anna", "a"), config=ProxyConfig(failed_logins=3))
    assert [await status(admission, f"guess {n}") for n in range(4)] == [401, 401, 401, 429]

    assert await status(admission, "a") == 429
    assert await status(admission, "a", "203.0.113.8") == 0
    [said] = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert FAR in said


async def test_token_that_was_good_there_is_let_in_where_others_fail(opened: Open):
    admission = await opened(grant_of("Anna", "a"), config=ProxyConfig(failed_logins=3))
    await status(admission, "a")
    for n in range(5):
        await status(admission, f"guess {n}")

    assert await status(admission, "a") == 0
    assert await status(admission, "guess") == 429


async def test_request_without_a_token_is_no_failed_login(opened: Open):
    admission = await opened(grant_of("Anna", "a"), config=ProxyConfig(failed_logins=3))
    for _ in range(10):
        await admission.admit(Headers(), FAR)

    assert await status(admission, "a") == 0


async def test_addresses_behind_a_balancer_are_told_apart(opened: Open):
    config = ProxyConfig(failed_logins=2, trust_forwarded=("10.0.0.0/8",))
    admission = await opened(grant_of("Anna", "a"), config=config)
    bad = {"X-Forwarded-For": "1.2.3.4, 198.51.100.1"}
    for n in range(3):
        await admission.admit(bearing(f"guess {n}", **bad), "10.0.0.1")

    for spoofed in ("198.51.100.2", "5.6.7.8, 198.51.100.1"):
        headers = bearing("a", **{"X-Forwarded-For": spoofed})
        answer = await admission.admit(headers, "10.0.0.1")
        assert isinstance(answer, Refusal) == (spoofed == "5.6.7.8, 198.51.100.1")


GUESSES = 10_000


@pytest.mark.parametrize("addresses", [1, GUESSES])
async def test_failed_logins_cost_little_and_harm_no_good_client(
    opened: Open, tokens: RedisTokens, addresses: int
):
    good = [new_token() for _ in range(100)]
    for number, token in enumerate(good):
        await tokens.put(grant_of(f"{number}", token))
    admission = await opened(config=ProxyConfig())
    guesses = [bearing(f"guess {n}") for n in range(GUESSES)]
    worst = 0.0

    async def attack() -> None:
        for n, headers in enumerate(guesses):
            number = n % addresses
            answer = await admission.admit(headers, f"198.51.{number // 250}.{number % 250}")
            assert isinstance(answer, Refusal)
            await asyncio.sleep(0)

    tracemalloc.start()
    begun = time.process_time()
    attacking = asyncio.create_task(attack())
    for token in good:
        asked = time.monotonic()
        assert await status(admission, token) == 0
        worst = max(worst, time.monotonic() - asked)
        await asyncio.sleep(0)
    await attacking
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (time.process_time() - begun) / GUESSES < 0.002
    assert most < 3_000_000
    assert worst < 1.0


async def test_token_is_in_no_log_and_no_repr(
    opened: Open, tokens: RedisTokens, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    secret = new_token()
    await tokens.put(grant_of("Anna", secret, max_workers=1, samples_per_minute=1))
    admission = await opened(config=ProxyConfig(failed_logins=1))
    grant = await admission.admit(bearing(secret), FAR)
    said = [repr(grant), repr(admission)]
    said += [repr(await admission.admit(bearing(secret + end), FAR)) for end in "abc"]
    assert isinstance(grant, Grant)
    await admission.enter(grant, "1")
    for _ in range(2):
        said.append(repr(await admission.allowance(grant, 1)))
        await admission.spend(grant, allowed=1, samples=1, bytes_=1)

    assert secret not in "\n".join([*said, caplog.text])


# Connections


async def test_connections_are_counted_over_all_proxies(opened: Open):
    anna = grant_of("Anna", "a", max_workers=2)
    one, two = await opened(anna), await opened(anna)

    assert await one.enter(anna, "1")
    assert await two.enter(anna, "2")
    assert not await one.enter(anna, "3")
    assert await two.enter(anna, "1 again", instead_of="1")
    await two.leave(anna, "2")
    assert await one.enter(anna, "3")


async def test_connections_are_kept_for_as_long_as_their_proxy_lives(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.queue.usage.STAY_SECONDS", 0.5)
    monkeypatch.setattr("caption_flow.proxy.admission.presence.TELL_SECONDS", 0.1)
    anna = grant_of("Anna", "a", max_workers=1)
    one, two = await opened(anna), await opened(anna)
    await one.enter(anna, "1")

    await asyncio.sleep(1.0)
    assert not await two.enter(anna, "2")
    await one.leave(anna, "1")
    assert await two.enter(anna, "2")


async def test_connection_counts_as_soon_as_redis_answers(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.proxy.admission.presence.TELL_SECONDS", 0.05)
    anna = grant_of("Anna", "a", max_workers=1)
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
    admission = await opened(anna := grant_of("Anna", "a"))

    assert (await admission.allowance(anna, 64)).samples == 64


@pytest.mark.parametrize("limit", [1, 7, 200, 1000])
async def test_samples_of_a_minute_are_bounded_over_all_proxies(opened: Open, limit: int):
    anna = grant_of("Anna", "a", samples_per_minute=limit)
    proxies = [await opened(anna), await opened(anna)]

    sent = await use_up(proxies, anna)

    assert limit <= sent <= limit + 2 * max(1, limit // 20)


@pytest.mark.parametrize(("limit", "size"), [(1 << 20, 1000), (100, 1000), (1 << 30, 1 << 20)])
async def test_bytes_of_a_day_are_bounded_over_all_proxies(opened: Open, limit: int, size: int):
    anna = grant_of("Anna", "a", bytes_per_day=limit)
    proxies = [await opened(anna), await opened(anna)]

    sent = await use_up(proxies, anna, size=size) * size

    batch = max(size, limit // 20)
    assert limit <= sent <= limit + 2 * batch


async def test_what_was_used_holds_for_a_proxy_that_comes_later(opened: Open, job: RedisJob):
    anna = grant_of("Anna", "a", samples_per_minute=40)
    async with token_admission(job, (anna,), WIDE) as first:
        allowance = await first.allowance(anna, 1)
        await first.spend(anna, allowed=allowance.samples, samples=1, bytes_=9)

    assert await use_up([await opened(anna)], anna) == 39


async def test_what_was_allowed_and_not_sent_is_free_again(opened: Open):
    anna = grant_of("Anna", "a", samples_per_minute=3)
    admission = await opened(anna)
    for _ in range(10):
        allowance = await admission.allowance(anna, 64)
        assert allowance.samples
        await admission.spend(anna, allowed=allowance.samples, samples=0, bytes_=0)

    assert await use_up([admission], anna) == 3


async def test_limit_is_told_in_words(opened: Open):
    anna = grant_of("Anna", "a", samples_per_minute=1, bytes_per_day=10_000)
    admission = await opened(anna)
    await use_up([admission], anna)

    allowance = await admission.allowance(anna, 1)
    assert allowance.why.startswith('The token of "Anna" has reached its limit.')
    assert 0 < allowance.wait <= accounts.MOST_SECONDS


async def test_raised_limit_holds_at_once(opened: Open, tokens: RedisTokens):
    low = grant_of("Anna", "a", bytes_per_day=1)
    await tokens.put(low)
    admission = await opened()
    await use_up([admission], low)
    await tokens.put(grant_of("Anna", "a", bytes_per_day=10), instead_of=low.sha256)

    async def has_more() -> bool:
        return (await admission.allowance(low, 1)).samples == 1

    await until(has_more)


async def test_redis_is_asked_in_batches(opened: Open, job: RedisJob):
    anna = grant_of("Anna", "a", samples_per_minute=100_000, bytes_per_day=1 << 40)
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
    await tokens.put(anna := grant_of("Anna", "a"))
    admission = await opened()
    await tokens.remove("Anna", "worker")
    await until(lambda: not admission.current(anna))

    assert (await admission.allowance(anna, 5)).samples == 0
    assert not await admission.enter(anna, "1")
