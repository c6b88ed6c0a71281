"""No host gets more than it bears, and none that is silent holds up the others."""

import asyncio
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from caption_flow.fetch import Client, FetchFailed, Resolver
from caption_flow.fetch.hosts import DEAD_AFTER
from caption_flow.fetch.resolver import CONTROL
from tests.fetch.conftest import LOCAL, Open, limits, names, until
from tests.fetch.naughty import Call, NaughtyServer, late, silent, status, whole
from tests.redis_server import free_port


class Crowd:
    """A behaviour that counts how many it serves at the same time."""

    def __init__(self, most: int) -> None:
        self.now = 0
        self.most = 0
        self._enough = most
        self._full = asyncio.Event()

    async def __call__(self, call: Call) -> bool:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now >= self._enough:
            self._full.set()
        await self._full.wait()
        await asyncio.sleep(0.01)  # for one more to come, if it may
        self.now -= 1
        await call.head(200, length=0)
        return True


async def failure(client: Client, url: str) -> FetchFailed:
    with pytest.raises(FetchFailed) as told:
        await client.get(url, max_bytes=1000)
    return told.value


async def test_host_is_asked_by_so_many_at_once(open_client: Open, server: NaughtyServer):
    crowd = Crowd(3)
    client, url = open_client(per_host=3), server.on("/a", crowd)

    await asyncio.gather(*(client.get(url, max_bytes=9) for _ in range(12)))

    assert crowd.most == 3
    assert server.connections == 3


async def test_all_hosts_together_are_asked_by_so_many_at_once(
    open_client: Open, server: NaughtyServer
):
    crowd = Crowd(4)
    server.on("/a", crowd)
    hosts = [f"{number}.test" for number in range(6)]
    client = open_client({host: [LOCAL] for host in hosts}, at_once=4, per_host=2)

    urls = [server.url("/a", host) for host in hosts for _ in range(2)]
    await asyncio.gather(*(client.get(url, max_bytes=9) for url in urls))

    assert crowd.most == 4


async def test_whole_host_is_left_alone_for_as_long_as_it_asks(
    open_client: Open, server: NaughtyServer
):
    client = open_client(tries=1)
    await failure(client, server.on("/a", status(429, "Retry-After: 1")))

    await client.get(server.serve("/b", b"fine"), max_bytes=9)

    first, second = server.seen
    assert second.at - first.at > 0.95


async def test_wait_may_be_told_as_a_date(client: Client, server: NaughtyServer):
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    url = server.on("/a", status(503, f"Retry-After: {then}"), whole(b"fine"))

    await client.get(url, max_bytes=9)

    first, second = server.seen
    assert second.at - first.at > 0.5


@pytest.mark.parametrize("wait", ["soon", "-5", "Tue, 24 Nov 1999 10:00:00 GMT", "9" * 400, ""])
async def test_wait_that_makes_no_sense_is_none(client: Client, server: NaughtyServer, wait: str):
    url = server.on("/a", status(429, f"Retry-After: {wait}"), whole(b"fine"))

    assert (await client.get(url, max_bytes=9)).body == b"fine"


async def test_host_that_asks_for_too_long_a_wait_is_given_up_for_now(
    client: Client, server: NaughtyServer
):
    url = server.on("/a", status(429, "Retry-After: 3600"))
    server.serve("/b", b"fine")

    assert (await failure(client, url)).reason == "rate_limited"
    assert (await failure(client, server.url("/b"))).reason == "rate_limited"
    assert len(server.seen) == 1


async def test_wait_that_would_outlast_the_download_is_not_begun(
    open_client: Open, server: NaughtyServer
):
    client = open_client(seconds=1.0)
    began = time.monotonic()

    failed = await failure(client, server.on("/a", status(429, "Retry-After: 30")))

    assert failed.reason == "rate_limited"
    assert time.monotonic() - began < 1


async def test_dead_host_costs_the_next_ones_nothing():
    """Nobody listens there; after some tries its further URLs fail untried."""
    async with Client(limits(tries=4), (LOCAL,)) as client:
        url = f"http://{LOCAL}:{free_port()}/a"
        first = await failure(client, url)
        second = await failure(client, url)

    assert (first.reason, second.reason) == ("unreachable", "unreachable")
    assert f"{DEAD_AFTER} times in a row" in second.detail


async def test_host_that_takes_connections_and_says_nothing_is_dead_too(
    open_client: Open, server: NaughtyServer
):
    client, url = open_client(idle_seconds=0.05, tries=DEAD_AFTER), server.on("/a", silent)
    await failure(client, url)

    assert (await failure(client, url)).reason == "unreachable"
    assert len(server.seen) == DEAD_AFTER


async def test_host_is_not_dead_since_we_stood_still(open_client: Open, server: NaughtyServer):
    """All downloads of that moment run out of time at once, though it had answered them."""
    client, count = open_client(idle_seconds=0.3, per_host=2 * DEAD_AFTER), 2 * DEAD_AFTER
    gate = threading.Event()
    server.on("/a", late(whole(b"fine"), gate))
    asked = [asyncio.create_task(client.get(server.url("/a"), max_bytes=9)) for _ in range(count)]
    await until(lambda: len(server.seen) == count)

    time.sleep(0.5)  # noqa: ASYNC251 - as where the whole machine does
    gate.set()

    assert [fetched.body for fetched in await asyncio.gather(*asked)] == [b"fine"] * count


async def test_silent_host_does_not_hold_up_the_others(open_client: Open, server: NaughtyServer):
    """More of its URLs are waiting than there are places; another host's go by."""
    table = {"slow.test": [LOCAL], "quick.test": [LOCAL]}
    client = open_client(table, at_once=4, per_host=2)
    server.on("/slow", silent)
    server.serve("/quick", b"fine")
    slow = [
        asyncio.create_task(client.get(server.url("/slow", "slow.test"), max_bytes=9))
        for _ in range(20)
    ]
    await until(lambda: len(server.seen) >= 2)

    fetched = await client.get(server.url("/quick", "quick.test"), max_bytes=9)

    assert fetched.body == b"fine"
    assert len(server.asked("/slow")) == 2
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


def no_network(_: str) -> list[str]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def fail_all(client: Client, hosts: int, name: str = "test") -> None:
    urls = [f"http://{number}.{name}/{path}" for number in range(hosts) for path in range(2)]
    await asyncio.gather(*(failure(client, url) for url in urls))


async def test_network_is_gone_when_many_hosts_fail_and_none_answers():
    async with Client(limits(), resolver=Resolver(no_network)) as client:
        await fail_all(client, 3)
        assert not client.cut_off
        await fail_all(client, 12)
        assert client.cut_off


async def test_network_is_there_while_a_host_that_everybody_knows_takes_connections(
    monkeypatch: pytest.MonkeyPatch,
):
    """What is left of a list may well be nothing but dead hosts."""

    def lookup(name: str) -> list[str]:
        return [LOCAL] if name == CONTROL else no_network(name)

    with NaughtyServer(LOCAL) as known:
        monkeypatch.setattr("caption_flow.fetch.reach._HTTPS", known.port)
        async with Client(limits(), (LOCAL,), resolver=Resolver(lookup)) as client:
            await fail_all(client, 40)
            assert not client.cut_off
            assert known.seen == []


async def test_network_is_there_as_soon_as_one_host_answers(server: NaughtyServer):
    def lookup(name: str) -> list[str]:
        return names({})(name) if name == LOCAL else no_network(name)

    async with Client(limits(), (LOCAL,), resolver=Resolver(lookup)) as client:
        await fail_all(client, 16)
        assert client.cut_off
        assert (await failure(client, server.url("/none"))).reason == "not_found"
        assert not client.cut_off


async def test_network_is_there_while_a_host_that_answered_takes_connections():
    def lookup(name: str) -> list[str]:
        return names({})(name) if name == LOCAL else no_network(name)

    async with Client(limits(), (LOCAL,), resolver=Resolver(lookup)) as client:
        with NaughtyServer(LOCAL) as once:
            await client.get(once.serve("/a", b"fine"), max_bytes=9)
            await fail_all(client, 40)
            assert not client.cut_off
            assert len(once.seen) == 1
        await fail_all(client, 40, "other.test")
        assert client.cut_off


def no_name(_: str) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_names_that_do_not_exist_do_not_mean_that_the_network_is_gone():
    def lookup(name: str) -> list[str]:
        return ["192.0.2.1"] if name == CONTROL else no_name(name)

    async with Client(limits(), resolver=Resolver(lookup)) as client:
        await fail_all(client, 40)
        assert not client.cut_off


async def test_a_host_that_finds_no_name_at_all_has_no_network():
    """As in many a cluster, where only its own names are known."""
    async with Client(limits(), resolver=Resolver(no_name)) as client:
        await fail_all(client, 40)
        assert client.cut_off


async def test_hosts_that_nobody_uses_keep_few_connections(
    open_client: Open, server: NaughtyServer
):
    server.serve("/a", b"fine")
    hosts = [f"{number}.test" for number in range(60)]
    client = open_client({host: [LOCAL] for host in hosts})

    for host in hosts:
        await client.get(server.url("/a", host), max_bytes=9)
    await asyncio.sleep(0)

    await until(lambda: server.open_connections <= 32)
