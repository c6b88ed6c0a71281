"""Who comes in: judged before anything is upgraded, and for as long as they stay."""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from caption_flow.config.proxy import ProxyConfig
from caption_flow.errors import QueueUnreachable
from caption_flow.grants import Grant
from caption_flow.proxy import server
from caption_flow.proxy.ports import Allowance, Refusal
from caption_flow.queue.connect import Connections
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import SUBPROTOCOL, Hello, Notice, Orders, SampleSent
from tests.proxy.client import RawClient
from tests.proxy.house import ANN, BOB, GRANTS, House, grant, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles, until

CARL = "token of carl"


class Strict(ListedTokens):
    """An admission that a test can turn as it likes."""

    def __init__(self, *grants: Grant) -> None:
        super().__init__(grants or GRANTS)
        self.removed: set[str] = set()
        self.answer: Refusal | Exception | None = None
        self.inside: list[str] = []
        self.room = 100
        self.left: int | None = None
        self.spent: list[tuple[int, int]] = []
        self.instead: list[str] = []

    async def admit(self, headers: Headers, address: str) -> Grant | Refusal:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or await super().admit(headers, address)

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:  # noqa: ARG002
        if len(self.inside) >= self.room:
            return False
        self.inside.append(ticket)
        self.instead.append(instead_of)
        return True

    async def leave(self, grant: Grant, ticket: str) -> None:  # noqa: ARG002
        self.inside.remove(ticket)

    def current(self, grant: Grant) -> Grant | None:
        return None if grant.name in self.removed else super().current(grant)

    async def allowance(self, grant: Grant, samples: int) -> Allowance:  # noqa: ARG002
        if self.left is None:
            return Allowance(samples)
        given = min(samples, self.left)
        self.left -= given
        return Allowance(given, 0.05, "" if given else "It has had enough.")

    async def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None:  # noqa: ARG002
        if self.left is not None:
            self.left += allowed - samples
        if samples or bytes_:
            self.spent.append((samples, bytes_))


async def turned_away(url: str, **options: Any) -> tuple[int, Headers, str]:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(url, proxy=None, **options)
    response = caught.value.response
    return response.status_code, response.headers, (response.body or b"").decode()


def bearing(token: str) -> dict[str, Any]:
    return {
        "additional_headers": {"Authorization": f"Bearer {token}"},
        "subprotocols": [SUBPROTOCOL],
    }


@pytest.mark.parametrize("token", ["nonsense", "", " ", "token of ann "[:-2], "é"])
async def test_unknown_token_is_unauthorized(home: House, token: str):
    status, _, body = await turned_away(home.url, **bearing(token.encode().decode("latin-1")))

    assert status == 401
    assert body.count(".") == 1


async def test_no_token_is_unauthorized(home: House):
    assert (await turned_away(home.url, subprotocols=[SUBPROTOCOL]))[0] == 401


async def test_two_tokens_are_unauthorized(home: House):
    headers = [("Authorization", f"Bearer {ANN}"), ("Authorization", f"Bearer {BOB}")]
    options = {"additional_headers": headers, "subprotocols": [SUBPROTOCOL]}
    assert (await turned_away(home.url, **options))[0] == 401


@pytest.mark.parametrize("spoken", [None, ["caption-flow.2"]])
async def test_another_protocol_is_told_which_is_spoken(home: House, spoken: list[str] | None):
    headers = {"Authorization": f"Bearer {ANN}"}
    answer = await turned_away(home.url, additional_headers=headers, subprotocols=spoken)
    status, _, body = answer

    assert status == 426
    assert SUBPROTOCOL in body


async def test_expired_token_is_unauthorized(connections: Connections, roles: Roles):
    stale = ListedTokens([grant("carl", CARL, expires=time.time() - 1)])
    async with house(connections, roles, admission=stale) as home:
        assert (await turned_away(home.url, **bearing(CARL)))[0] == 401


async def test_refusal_of_the_admission_is_passed_on(connections: Connections, roles: Roles):
    strict = Strict()
    strict.answer = Refusal(429, "Too often.\n", {"Retry-After": "7"})
    async with house(connections, roles, admission=strict) as home:
        status, headers, body = await turned_away(home.url, **bearing(ANN))

    assert (status, headers["Retry-After"], body) == (429, "7", "Too often.\n")


async def test_where_tokens_cannot_be_looked_up_all_wait(connections: Connections, roles: Roles):
    strict = Strict()
    strict.answer = QueueUnreachable("No answer from 10.1.2.3:6379.")
    async with house(connections, roles, admission=strict) as home:
        status, headers, body = await turned_away(home.url, **bearing(ANN))

    assert status == 503
    assert "Retry-After" in headers
    assert "10.1.2.3" not in body


async def test_more_connections_than_may_be_are_turned_away(connections: Connections, roles: Roles):
    config = ProxyConfig(most_connections=2)
    async with house(connections, roles, config=config) as home:
        inside = [await RawClient.open(home.url, ANN) for _ in range(2)]
        assert (await turned_away(home.url, **bearing(ANN)))[0] == 503

        await inside[0].leave()
        await until(lambda: home.door.figures()["connections"] < 2)
        assert await RawClient.open(home.url, ANN)


async def test_load_balancers_may_ask_after_its_health(home: House):
    status, _, body = await turned_away(f"{home.url}/health")
    assert (status, body) == (200, "Up.\n")


async def test_who_says_nothing_is_cut_off(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "HELLO_SECONDS", 0.2)
    async with house(connections, roles) as home:
        host, port = home.url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_removed_token_is_thrown_out_and_its_samples_go_on(
    connections: Connections, roles: Roles
):
    strict = Strict()
    await publish(roles)
    async with house(connections, roles, admission=strict) as home:
        await home.offer(1)
        client = await home.worker()
        await client.take(1)

        strict.removed.add("ann")

        assert (await client.closed())[0] == Close.UNAUTHORIZED
        assert [one.attempt for one in await (await home.worker(BOB)).take(1)] == [1]
        await until(lambda: len(strict.inside) == 1)


async def test_token_that_expires_is_thrown_out(connections: Connections, roles: Roles):
    soon = ListedTokens([grant("carl", CARL, expires=time.time() + 0.5)])
    async with house(connections, roles, admission=soon) as home:
        client = await RawClient.enter(home.url, CARL)

        assert (await client.closed())[0] == Close.UNAUTHORIZED


async def test_more_connections_than_the_token_allows_are_closed(
    connections: Connections, roles: Roles
):
    strict = Strict()
    strict.room = 1
    async with house(connections, roles, admission=strict) as home:
        first = await RawClient.enter(home.url, ANN)
        second = await RawClient.open(home.url, ANN)
        await second.say(Hello("worker", "m2", "h", 1, "t"))

        assert (await second.closed())[0] == Close.EXCESS
        assert strict.inside == [first.welcome.ticket]


async def test_admission_hears_whose_place_is_taken(connections: Connections, roles: Roles):
    strict = Strict()
    async with house(connections, roles, admission=strict) as home:
        first = await RawClient.enter(home.url, ANN)
        await RawClient.enter(home.url, ANN, resume=first.welcome.ticket)

    assert strict.instead == ["", first.welcome.ticket]


async def test_token_of_one_stage_serves_no_other(connections: Connections, two_stages: Roles):
    tokens = ListedTokens([grant("carl", CARL, stages=("tell",)), *GRANTS])
    async with house(connections, two_stages, admission=tokens) as home:
        await home.offer(1)
        carl = await home.worker(CARL)
        await carl.credit(1)

        assert carl.welcome.stages == ("tell",)
        assert await carl.quiet(SampleSent)
        ann = await RawClient.enter(home.url, ANN)
        await ann.serve(only=["look"])
        await ann.complete(home.told, await ann.take(1))
        assert (await carl.hear(SampleSent)).stage == "tell"


async def test_no_more_is_claimed_than_the_token_is_allowed(connections: Connections, roles: Roles):
    strict = Strict()
    strict.left = 2
    await publish(roles)
    async with house(connections, roles, admission=strict) as home:
        await home.offer(3)
        client = await home.worker()
        await client.credit(3)
        for _ in range(2):
            await client.hear(SampleSent)

        assert await client.quiet(SampleSent)
        assert await client.hear(Notice) == Notice("It has had enough.")
        assert len(await home.holders()) == 2
        assert sum(samples for samples, _ in strict.spent) == 2
        assert sum(bytes_ for _, bytes_ in strict.spent) > 2 * 300

        strict.left = 5
        await client.hear(SampleSent)


async def test_orders_come_with_the_welcome(home: House):
    client = await RawClient.enter(home.url, ANN)
    assert await client.hear(Orders) == Orders(paused=False, drain=False)
