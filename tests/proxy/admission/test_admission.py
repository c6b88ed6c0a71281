"""Admission: tokens of the document and of Redis let in, for as long as they are good."""

import asyncio
import logging
import time

import pytest
from websockets.datastructures import Headers

from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant, digest, new_token
from caption_flow.proxy import view
from caption_flow.proxy.admission import token_watch
from caption_flow.proxy.admission.admission import token_admission
from caption_flow.proxy.ports import Refusal
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens
from tests.proxy.admission.admitting import FAR, WIDE, Open, bearing, job, opened, status, tokens
from tests.proxy.house import grant
from tests.redis_server import RedisServer
from tests.roles import until

__all__ = ["job", "opened", "tokens"]

SOON = 1.0  # second: within it, each proxy follows an edit


async def test_tokens_of_document_and_of_redis_let_in(opened: Open, tokens: RedisTokens):
    ben = grant("Ben", "of Redis", stages=("look",))
    await tokens.put(ben)
    admission = await opened(anna := grant("Anna", "listed"))

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
    answer = await (await opened(grant("Anna", "listed"))).admit(headers, FAR)

    assert isinstance(answer, Refusal)
    assert answer.status == 401


async def test_expired_token_is_refused_as_an_unknown_one_is(opened: Open):
    admission = await opened(grant("Anna", "old", expires=time.time() - 1))

    assert await admission.admit(bearing("old"), FAR) == await admission.admit(bearing("x"), FAR)


async def test_each_token_is_compared_whoever_is_asked_for(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    compared = []
    same = token_watch.hmac.compare_digest
    monkeypatch.setattr(
        token_watch.hmac, "compare_digest", lambda a, b: compared.append(a) or same(a, b)
    )
    admission = await opened(*(grant(f"{n}", f"{n}") for n in range(5)))

    for token in ("0", "4"):
        compared.clear()
        await status(admission, token)
        assert len(compared) == 5


async def test_token_that_was_just_added_lets_in_at_once(
    opened: Open, tokens: RedisTokens, monkeypatch: pytest.MonkeyPatch
):
    """Though somebody with none was looked up a moment before."""
    monkeypatch.setattr(token_watch, "LOOK_SECONDS", 60.0)
    admission = await opened()
    assert await status(admission, "none") == 401
    await tokens.put(grant("Anna", "new"))

    assert await status(admission, "new") == 0


async def test_edits_are_followed_by_each_proxy_within_a_second(opened: Open, tokens: RedisTokens):
    """Removed, replaced, expired: its connections are told so."""
    *ending, kept = [grant(name, name) for name in ("removed", "replaced", "expired", "kept")]
    for each in (*ending, kept):
        await tokens.put(each)
    proxies = [await opened(), await opened()]
    assert all(one.current(each) for one in proxies for each in (*ending, kept))

    begun = time.monotonic()
    await tokens.remove("removed", "worker")
    await tokens.put(grant("replaced", "new"), instead_of=digest("replaced"))
    ended = grant("expired", "expired", expires=time.time() + 0.3)
    await tokens.put(ended, instead_of=digest("expired"))
    for one in proxies:
        await until(lambda one=one: not any(one.current(each) for each in ending))

    assert time.monotonic() - begun < SOON
    # Connections look after their proxy has.
    assert token_watch.LOOK_SECONDS + view.LOOK_SECONDS < SOON
    assert all(one.current(kept) for one in proxies)
    assert [await status(one, "removed") for one in proxies] == [401, 401]
    assert [await status(one, "expired") for one in proxies] == [401, 401]
    assert [await status(one, "new") for one in proxies] == [0, 0]


async def test_token_of_the_document_cannot_be_removed_in_redis(opened: Open, tokens: RedisTokens):
    admission = await opened(anna := grant("Anna", "listed"))
    await tokens.remove("Anna", "worker")
    await tokens.put(grant("Ben", "mark"))

    async def has_heard() -> bool:
        return await status(admission, "mark") == 0

    await until(has_heard)
    assert admission.current(anna)
    assert await status(admission, "listed") == 0


async def test_limits_that_are_changed_close_nothing(opened: Open, tokens: RedisTokens):
    await tokens.put(old := grant("Anna", "a"))
    admission = await opened()
    await tokens.put(new := grant("Anna", "a", max_workers=1), instead_of=old.sha256)

    async def changed() -> bool:
        return await admission.admit(bearing("a"), FAR) == new

    await until(changed)
    assert admission.current(old)
    assert await admission.enter(old, "1")
    assert not await admission.enter(old, "2")


async def test_token_is_in_no_log_and_no_repr(
    opened: Open, tokens: RedisTokens, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    secret = new_token()
    await tokens.put(grant("Anna", secret, max_workers=1, samples_per_minute=1))
    admission = await opened(config=ProxyConfig(failed_logins=1))
    anna = await admission.admit(bearing(secret), FAR)
    said = [repr(anna), repr(admission)]
    said += [repr(await admission.admit(bearing(secret + end), FAR)) for end in "abc"]
    assert isinstance(anna, Grant)
    await admission.enter(anna, "1")
    for _ in range(2):
        said.append(repr(await admission.allowance(anna, 1)))
        await admission.spend(anna, allowed=1, samples=1, bytes_=1)

    assert secret not in "\n".join([*said, caplog.text])


# What Redis forgets


async def test_emptied_redis_is_told_what_was_known(
    opened: Open, tokens: RedisTokens, job: RedisJob
):
    for name in ("Anna", "Ben", "Cleo"):
        await tokens.put(grant(name, name))
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
    await tokens.put(anna := grant("Anna", "a"))
    admission = await opened()
    await job.client.flushall()

    async def is_back() -> bool:
        assert admission.current(anna)
        return bool(await tokens.grants())

    await until(is_back)
    assert admission.current(anna)


async def test_two_proxies_bring_back_what_either_knew(
    opened: Open, tokens: RedisTokens, job: RedisJob, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(token_watch, "LOOK_SECONDS", 0.05)
    await tokens.put(grant("Anna", "a"))
    await opened()
    await opened()
    await job.client.flushall()
    await tokens.put(grant("Ben", "b"))

    async def are_there() -> bool:
        return [grant.name for grant in await tokens.grants()] == ["Anna", "Ben"]

    async def are_at_rest() -> bool:
        mark = await tokens.mark()
        await asyncio.sleep(5 * token_watch.LOOK_SECONDS)
        return await tokens.mark() == mark

    await until(are_there)
    await until(are_at_rest)  # they are not at it for ever


async def test_nobody_is_sent_away_before_redis_has_told_who_is_good(own_server: RedisServer):
    own_server.pause()
    async with connect(own_server.url, role="test") as wires:
        job = RedisJob(wires, "job")
        own_server.kill()
        async with token_admission(job, (grant("Anna", "listed"),), WIDE) as admission:
            assert await status(admission, "listed") == 0
            assert await status(admission, "in Redis") == 503

            own_server.start()
            await RedisTokens(job).put(grant("Ben", "in Redis"))

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
        await RedisTokens(job).put(anna := grant("Anna", "a"))
        async with token_admission(job, (), WIDE) as admission:
            assert await status(admission, "unknown") == 401
            own_server.kill()

            async def cannot_tell() -> bool:
                return await status(admission, "unknown") == 503

            await until(cannot_tell)
            assert await status(admission, "a") == 0
            assert admission.current(anna)
