"""Tokens while two proxies run: added, used, limited, changed, expired and removed."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from caption_flow.config.vllm import Stage
from caption_flow.queue.tokens import RedisTokens
from caption_flow.queue.usage import STAY_SECONDS
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import Hello, Notice, SampleSent, SettingsTold, Welcome
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, Ended, Running, wait_until
from tests.made import jpeg, settings
from tests.proxy.client import RawClient
from tests.proxy.house import publish
from tests.roles import JOB, Roles, until

__all__ = ["desk"]

SECOND = 1.0
MORE = 0.5  # what this busy machine takes for anything
PORT = re.compile(r"on ws://127\.0\.0\.1:(\d+)")


class Town:
    """A job with two proxies, as processes, and its operator."""

    def __init__(self, desk: Desk, url: str, roles: Roles) -> None:
        self.roles = roles
        self.secrets: list[str] = []
        self.clients: list[RawClient] = []
        self._desk = desk
        self._job = ("--redis", url, "--job", JOB)
        self.proxies = [self._start(), self._start()]
        self.urls = [f"ws://127.0.0.1:{_port(one)}" for one in self.proxies]

    def _start(self) -> Running:
        where = ("--host", "127.0.0.1", "--port", 0, "--log-level", "debug")
        return self._desk.start("proxy", *self._job, *where)

    async def auth(self, verb: str, *words: object) -> Ended:
        done = await asyncio.to_thread(self._desk.run, "auth", verb, *self._job, *words)
        assert done.code == 0, done.words
        return done

    async def add(self, name: str, *limits: object) -> str:
        """Let somebody in; answers the token."""
        token = (await self.auth("add", name, *limits)).out.splitlines()[0]
        self.secrets.append(token)
        return token

    async def enter(self, token: str, number: int = 0, **who: Any) -> RawClient:
        """Come in as a worker, by one of the proxies."""
        return self._kept(await RawClient.enter(self.urls[number], token, **who))

    async def open(self, token: str, number: int = 0) -> RawClient:
        """Come to one of the proxies, and say nothing."""
        return self._kept(await RawClient.open(self.urls[number], token))

    def _kept(self, client: RawClient) -> RawClient:
        self.clients.append(client)
        return client

    async def worker(self, token: str, number: int = 0, **who: Any) -> RawClient:
        client = await self.enter(token, number, **who)
        await client.serve()
        return client

    async def refused(self, token: str, number: int = 0) -> int:
        """Be refused; answers the status."""
        with pytest.raises(InvalidStatus) as caught:
            await RawClient.open(self.urls[number], token)
        return caught.value.response.status_code


def _port(proxy: Running) -> str:
    told = wait_until(lambda: PORT.search(proxy.out) or proxy.ended, "a proxy that listens")
    assert isinstance(told, re.Match), proxy.err
    return told[1]


@pytest.fixture
async def town(desk: Desk, redis_url: str, roles: Roles) -> AsyncIterator[Town]:
    await publish(roles)
    opened = await asyncio.to_thread(Town, desk, redis_url, roles)
    yield opened
    for client in opened.clients:
        client.cut()
        await client.connection.wait_closed()
    for one in opened.proxies:
        assert one.ended or "Traceback" not in one.err
    said = "".join(one.out + one.err for one in opened.proxies)
    assert [secret for secret in opened.secrets if secret in said] == []


async def taken(client: RawClient, seconds: float) -> list[SampleSent]:
    """What comes within some seconds."""
    found = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                found.append(await client.hear(SampleSent))
    return found


async def test_new_token_lets_in_within_a_second(town: Town):
    token = await town.add("Anna")
    added = time.monotonic()

    for number in (0, 1):
        await town.enter(token, number)

    assert time.monotonic() - added < SECOND + MORE


async def test_token_is_added_used_and_removed(town: Town):
    await town.roles.offer([jpeg(n) for n in range(6)])
    anna, ben = await town.add("Anna"), await town.add("Ben")
    ones = [await town.worker(anna, number, member=f"m{number}") for number in (0, 1)]
    other = await town.worker(ben, 1)
    for one in ones:
        sent = await one.take(3)
        await one.complete(town.roles.told, sent[:1])

    removing = asyncio.create_task(town.auth("remove", "Anna"))
    closed = [await one.closed() for one in ones]
    gone = time.monotonic()
    rest = await other.take(4)

    assert [code for code, _ in closed] == [Close.UNAUTHORIZED] * 2
    assert time.monotonic() - gone < SECOND + MORE  # leases of this job last for a minute
    assert [one.attempt for one in rest] == [1] * 4
    await removing
    assert [await town.refused(anna, number) for number in (0, 1)] == [401, 401]
    rows = await town.roles.captions()
    assert [row.outcomes[0].contributor for row in rows] == ["Anna", "Anna"]


async def test_connections_end_within_a_second_of_the_edit(town: Town):
    clients = [await town.enter(await town.add(name), 1) for name in ("Anna", "Ben")]
    tokens = town.roles.job.keys.tokens

    async def edited() -> float:
        mark = await town.roles.client.hget(tokens, "version")

        async def is_another() -> bool:
            return bool(await town.roles.client.hget(tokens, "version") != mark)

        await until(is_another)
        return time.monotonic()

    for client, words in zip(
        clients, (("remove", "Anna"), ("add", "Ben", "--replace")), strict=True
    ):
        watching = asyncio.create_task(edited())
        await asyncio.sleep(0.05)
        editing = asyncio.create_task(town.auth(*words))
        assert (await client.closed())[0] == Close.UNAUTHORIZED
        assert time.monotonic() - await watching < SECOND
        await editing


async def test_token_expires(town: Town):
    token = await town.add("Anna", "--expires", "6s")
    clients = [await town.enter(token, number) for number in (0, 1)]
    [grant] = await RedisTokens(town.roles.job).grants()

    assert [(await one.closed())[0] for one in clients] == [Close.UNAUTHORIZED] * 2
    assert 0 <= time.time() - grant.expires < SECOND + MORE
    assert await town.refused(token) == 401


async def sent_until_the_limit(town: Town, token: str) -> list[list[SampleSent]]:
    """What workers of all proxies are sent that settle nothing, until they are told of a limit."""
    workers = [await town.worker(token, number, member=f"m{number}") for number in (0, 1, 0, 1)]
    for worker in workers:
        await worker.credit(1000, 1 << 24)
    for worker in workers:
        assert "has reached its limit" in (await worker.hear(Notice)).text
    sent = await asyncio.gather(*(taken(worker, 2.0) for worker in workers))
    assert all([await worker.quiet(Notice, 0.01) for worker in workers])
    return sent


async def test_samples_of_a_minute_are_bounded(town: Town):
    limit = 40
    await town.roles.offer([jpeg(n) for n in range(2 * limit)])

    sent = await sent_until_the_limit(town, await town.add("Anna", "--samples-per-minute", limit))

    assert limit <= sum(map(len, sent)) <= limit + 2 * (limit // 20)


async def test_bytes_of_a_day_are_bounded_and_a_raised_limit_holds_at_once(town: Town):
    limit = 40_000
    await town.roles.offer([jpeg(n, 64) for n in range(120)])
    token = await town.add("Anna", "--bytes-per-day", limit)

    sent = await sent_until_the_limit(town, token)

    usage = town.roles.job.keys.usage("worker", "Anna")

    async def used() -> int:
        return int(await town.roles.client.hget(usage, "bytes"))

    async def more() -> bool:
        return await used() > limit * 1.1

    assert limit <= await used() <= limit * 1.1
    assert limit * 0.5 <= sum(map(len, sent)) * len(jpeg(0, 64)) <= limit * 1.1
    await town.auth("add", "Anna", "--keep-token", "--bytes-per-day", "1GiB")
    await until(more)


async def enters(town: Town, token: str, number: int) -> RawClient | None:
    """Come in; None where there are too many."""
    client = await town.open(token, number)
    await client.say(Hello("worker", "m", "host", 1, "test"))
    with suppress(ConnectionClosed):
        client.welcome = await client.hear(Welcome)
        return client
    assert client.connection.close_code == Close.EXCESS
    await asyncio.sleep(0.5)
    return None


async def test_connections_are_bounded_also_after_a_proxy_was_killed(town: Town):
    token = await town.add("Anna", "--max-workers", 1)
    assert await enters(town, token, 0)
    assert await enters(town, token, 1) is None

    town.proxies[0].kill()
    killed = time.monotonic()
    await until(lambda: enters(town, token, 1))
    second = town.clients[-1]
    assert 5 < time.monotonic() - killed < STAY_SECONDS + 2

    assert (await town.enter(token, 1, resume=second.welcome.ticket)).welcome.resumes
    assert await enters(town, token, 1) is None


async def test_stages_of_a_token_are_served_alone_and_may_be_changed(town: Town):
    roles = town.roles
    roles.told = settings(
        stages=tuple(Stage(name=name, model="", prompts=("?",)) for name in ("look", "tell"))
    )
    await roles.client.flushall()
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(4)])
    anna, ben = await town.add("Anna", "--stage", "tell"), await town.add("Ben")
    telling, looking = await town.enter(anna, 0), await town.enter(ben, 1)
    for one in (telling, looking):
        while "tell" not in (await one.hear(SettingsTold)).stages:  # the older are told first
            pass
        await one.serve()

    await telling.credit(10)
    assert await telling.quiet(SampleSent)
    sent = await looking.take(2)
    await looking.complete(roles.told, sent)
    assert [(await telling.hear(SampleSent)).stage for _ in sent] == ["tell"] * 2

    await town.auth("add", "Anna", "--keep-token", "--stage", "look")
    assert (await telling.closed())[0] == Close.EXCESS
    await asyncio.sleep(1)  # in which every proxy follows
    again = await town.worker(anna, 1, resume=telling.welcome.ticket)
    assert again.welcome.stages == ("look",)
    await again.credit(10)
    assert [(await again.hear(SampleSent)).stage for _ in range(2)] == ["look"] * 2


async def test_redis_is_emptied_while_proxies_run(town: Town):
    token, gone = await town.add("Anna"), await town.add("Ben")
    client, _ = [await town.enter(token, number) for number in (0, 1)]
    removed = await town.enter(gone, 1)
    await town.auth("remove", "Ben")
    await removed.closed()
    await town.roles.client.flushall()
    await publish(town.roles)

    async def is_back() -> bool:
        return '"Anna"' in (await town.auth("list", "--json")).out

    await until(is_back)
    assert '"Ben"' not in (await town.auth("list", "--json")).out
    assert await town.refused(gone, 1) == 401
    await town.enter(token, 1)
    await client.serve()
