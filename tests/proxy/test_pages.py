"""The pages at a proxy's address: who may see them, and what they bear."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from caption_flow.config.proxy import PageConfig, ProxyConfig
from caption_flow.errors import QueueUnreachable
from caption_flow.grants import Grant, digest
from caption_flow.proxy import pages
from caption_flow.proxy.admission.admission import token_admission
from caption_flow.proxy.watching import watching
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from tests.proxy.client import RawClient
from tests.proxy.house import House, house, publish
from tests.roles import Roles, until
from tests.web.asking import Answered, bearing, get

GRANTS = tuple(
    Grant(f"the {role}", role, digest(role)) for role in ("worker", "feeder", "monitor", "admin")
)
AFAR = {"Host": "job.example"}  # as a browser elsewhere asks
DATA = ["/api/state", "/api/captions", "/api/thumbnails?keys=x"]


Ask = Callable[..., Awaitable[list[Answered]]]


@pytest.fixture
async def opened(connections: Connections, roles: Roles) -> Ask:
    """Open a proxy that has a token of each role."""
    await publish(roles)

    async def ask(config: ProxyConfig, *targets: dict[str, Any]) -> list[Answered]:
        async with (
            token_admission(roles.job, GRANTS, config) as admission,
            house(connections, roles, admission=admission, config=config) as home,
        ):
            return [await get(home.port, **target) for target in targets]

    return ask


def page(**settings: Any) -> ProxyConfig:
    return ProxyConfig(page=PageConfig(**settings))


@pytest.fixture
async def door(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    await publish(roles)
    config = ProxyConfig(handshakes_per_minute=2, failed_logins=3)
    async with (
        token_admission(roles.job, GRANTS, config) as admission,
        house(connections, roles, admission=admission, config=config) as home,
    ):
        yield home


async def test_page_is_for_everybody_and_asks_nothing_of_others(door: House):
    for target in watching.shell():
        answer = await get(door.port, target, **AFAR)
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        named = set(re.findall(rb"[\"'(](?:https?:)?//[^\"')]+", answer.body))
        assert {name[1:] for name in named} <= {b"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("target", DATA)
async def test_data_are_for_monitors_and_admins(door: House, target: str):
    told = {
        role: (await get(door.port, target, **AFAR, **bearing(role))).status
        for role in ("monitor", "admin", "worker", "feeder")
    }
    assert told == {"monitor": 200, "admin": 200, "worker": 403, "feeder": 403}
    assert (await get(door.port, target, **AFAR)).status == 401


async def test_token_of_a_worker_is_told_what_is_needed(door: House):
    answer = await get(door.port, "/api/state", **bearing("worker"))
    assert b"role worker" in answer.body
    assert b"monitor" in answer.body


async def test_token_in_an_address_or_a_cookie_is_none(door: House):
    answers = [
        await get(door.port, "/api/state?token=monitor&authorization=Bearer+monitor", **AFAR),
        await get(door.port, "/api/state", **AFAR, Cookie="token=monitor"),
    ]
    assert [answer.status for answer in answers] == [401, 401]


async def test_who_sits_at_the_host_needs_no_token(door: House):
    for host in ("localhost", "localhost:8765", f"127.0.0.1:{door.port}", "[::1]:1", "127.9.9.9"):
        assert (await get(door.port, "/api/state", Host=host)).status == 200
        assert (await get(door.port, "/api/door", Host=host)).json == {"needs_token": False}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "job.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:8765"},
        {"Host": ""},
        {"Host": "10.0.0.1"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 balancer"},
        {"X-Real-IP": "203.0.113.9"},
        {"CF-Connecting-IP": "203.0.113.9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": ""},
    ],
)
async def test_who_only_seems_to_sit_there_needs_one(door: House, headers: dict[str, str]):
    assert (await get(door.port, "/api/state", **headers)).status == 401


@pytest.mark.skipif(os.geteuid() != 0, reason="only root asks as another user")
async def test_what_another_user_passes_on_needs_a_token(door: House):
    """Such as a balancer that knows nothing of HTTP: then a stranger has chosen all headers."""
    request = b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await passed_on(door.port, 65533, request)).startswith(b"HTTP/1.1 401 ")
    assert (await passed_on(door.port, 0, request)).startswith(b"HTTP/1.1 200 ")
    known = request.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer monitor\r\n\r\n")
    assert (await passed_on(door.port, 65533, known)).startswith(b"HTTP/1.1 200 ")


async def passed_on(port: int, user: int, request: bytes) -> bytes:
    """Ask over a socket of a user."""
    os.seteuid(user)
    wire = socket.socket()
    os.seteuid(0)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=wire)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "config", [page(loopback=False), ProxyConfig(trust_forwarded=("127.0.0.0/8",))]
)
async def test_host_with_a_reverse_proxy_is_not_believed(opened: Ask, config: ProxyConfig):
    state, told, good = await opened(
        config,
        {"target": "/api/state"},
        {"target": "/api/door"},
        {"target": "/api/state", **bearing("monitor")},
    )
    assert (state.status, told.json, good.status) == (401, {"needs_token": True}, 200)


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}])
async def test_who_shows_no_token_is_told_what_to_give(door: House, headers: dict[str, str]):
    for _ in range(9):  # none of which is a failed login
        answer = await get(door.port, "/api/state", **AFAR, **headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"Authorization: Bearer TOKEN" in answer.body

    assert (await get(door.port, "/api/state", **AFAR, **bearing("monitor"))).status == 200


async def test_who_shows_a_wrong_token_is_told_so(door: House):
    answer = await get(door.port, "/api/state", **AFAR, **bearing("nonsense"))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"unknown" in answer.body


async def test_what_is_no_page_is_not_found(door: House):
    """And is no handshake of its address, of which there may be two."""
    for target in ("/favicon.ico", "/api", "/api/state/more", "/metrics.php", "//"):
        for headers in ({}, bearing("worker")):
            assert (await get(door.port, target, **AFAR, **headers)).status == 404

    assert await RawClient.open(door.url, "worker")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_one_can_only_look(door: House, method: str):
    for target in ("/", "/api/state", "/nowhere"):
        answer = await get(door.port, target, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_head_of_a_page_may_be_asked_for_alone(door: House):
    for target in ("/", "/api/state", "/health"):
        answer = await get(door.port, target, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0


async def test_wish_for_another_protocol_is_passed_over(door: House):
    """As of curl --http2; only a WebSocket is a session."""
    answer = await get(door.port, "/api/state", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings")
    assert answer.status == 200


async def test_wrong_tokens_are_failed_logins(door: House):
    told = [(await get(door.port, "/api/state", **bearing(f"guess {n}"))).status for n in range(4)]
    assert told == [401, 401, 401, 429]

    right = await get(door.port, "/api/state", **bearing("monitor"))
    assert right.status == 429
    assert 1 <= int(right.headers["Retry-After"]) <= 600


async def test_looking_again_and_again_is_no_handshake(door: House):
    for _ in range(20):
        assert (await get(door.port, "/api/state", **bearing("monitor"))).status == 200

    assert await RawClient.open(door.url, "worker")


async def test_floods_of_requests_are_refused(opened: Ask):
    asked = [{"target": target} for target in ("/", "/api/door", "/api/state", "/watch.js", "/")]
    answers = await opened(page(requests_per_minute=4), *asked)

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_only_so_many_are_answered_at_once(door: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "MOST_AT_ONCE", 1)
    enough = asyncio.Event()
    original = RedisInspector.snapshot

    async def slow(self: RedisInspector) -> Any:
        await enough.wait()
        return await original(self)

    monkeypatch.setattr(RedisInspector, "snapshot", slow)
    first = asyncio.create_task(get(door.port, "/api/state"))
    await until(lambda: door.door._pages._inside)

    assert (await get(door.port, "/")).status == 503
    enough.set()
    assert (await first).status == 200
    assert (await get(door.port, "/")).status == 200


async def test_answer_that_takes_too_long_is_given_up(door: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "ANSWER_SECONDS", 0.05)

    async def never(_: RedisInspector) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(RedisInspector, "snapshot", never)
    assert (await get(door.port, "/api/state")).status == 503


async def test_who_looks_is_not_told_where_redis_is(door: House, monkeypatch: pytest.MonkeyPatch):
    async def away(_: RedisInspector) -> Any:
        raise QueueUnreachable("No answer from 10.1.2.3:6379.")

    monkeypatch.setattr(RedisInspector, "snapshot", away)
    answer = await get(door.port, "/api/state")

    assert answer.status == 503
    assert b"does not answer" in answer.body
    assert b"10.1.2.3" not in answer.body


async def test_page_can_be_turned_off(opened: Ask):
    index, state, health = await opened(
        page(enabled=False),
        {"target": "/", **bearing("monitor")},
        {"target": "/api/state", **bearing("nonsense")},
        {"target": "/health"},
    )
    assert (index.status, state.status, health.status) == (404, 404, 200)


async def test_workers_come_in_beside_the_page(door: House):
    assert (await RawClient.enter(door.url, "worker")).welcome.job == door.roles.job.job
