"""Fetch: one try, from the URL asked for over its redirects to an answer with a body.

Each hop waits for its turn at its host and for one of our own places, and is checked like the
first. What the caller says beside, such as a token, goes to the first origin only.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

from httpcore2 import AsyncConnectionPool, ConnectError, ConnectTimeout
from msgspec import Struct, field

from caption_flow.fetch.addresses import Guard
from caption_flow.fetch.backend import CheckedBackend
from caption_flow.fetch.clock import Clock
from caption_flow.fetch.exchange import Exchange
from caption_flow.fetch.failures import (
    BAD_REDIRECT,
    HTTP_STATUS,
    ROBOTS,
    TIMEOUT,
    UNREACHABLE,
    FetchFailed,
)
from caption_flow.fetch.hosts import Host, Hosts
from caption_flow.fetch.limits import DownloadLimits
from caption_flow.fetch.reach import Reach
from caption_flow.fetch.resolver import Resolver
from caption_flow.fetch.robots import refused
from caption_flow.fetch.urls import Url

_KEPT_SECONDS = 30.0  # an unused connection
_TAKEN = frozenset({200, 203, 206})

Headers = Callable[[str], dict[str, str]]  # URL -> what to send with a request for it


class Ask(Struct, frozen=True):
    """What is asked of a server."""

    url: Url
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    stream: bool = False


class Traveller:
    """Makes tries, with the connections and what is known of hosts that they share."""

    def __init__(
        self,
        limits: DownloadLimits,
        allow_networks: Iterable[str],
        headers: Headers | None,
        resolver: Resolver | None,
        context: ssl.SSLContext,
        *,
        trusted: Iterable[tuple[str, int]] = (),
    ) -> None:
        self.reach = Reach(self._knock)
        self._limits = limits
        self._headers = headers
        self._context = context
        self._resolver = resolver or Resolver()
        self._backend = CheckedBackend(self._resolver, Guard(allow_networks), trusted)
        self._hosts = Hosts(self._pool, limits.per_host)
        self._places = asyncio.Semaphore(limits.at_once)

    @asynccontextmanager
    async def arrive(self, ask: Ask, clock: Clock) -> AsyncIterator[Exchange]:
        """Ask, follow redirects, and give the answer if it has the body that was asked for."""
        url, met = ask.url, {ask.url}
        for _ in range(self._limits.redirects + 1):
            async with self._hop(ask, url, clock) as exchange:
                if exchange.answer.location is None:
                    await self._check(exchange)
                    yield exchange
                    return
                url = _next(exchange, met)
                await exchange.discard()
        raise FetchFailed(BAD_REDIRECT, f"more than {self._limits.redirects} redirects")

    async def close(self) -> None:
        """Close all connections."""
        await self.reach.close()
        await self._hosts.close()
        self._resolver.close()

    @asynccontextmanager
    async def _hop(self, ask: Ask, url: Url, clock: Clock) -> AsyncIterator[Exchange]:
        # The host's turn first: who waits there must not keep a place from others.
        async with (
            self._hosts.use(url.host, url.port) as host,
            self._turn(host, ask, url),
            nullcontext() if ask.stream else self._places,
            self._hosts.connections(host) as wires,
        ):
            clock.run()
            exchange = Exchange(wires, self._limits, ask.method, url, self._sent(ask, url))
            await self._enter(exchange, host)
            try:
                yield exchange
            finally:
                await exchange.close()
                clock.stand()

    @asynccontextmanager
    async def _turn(self, host: Host, ask: Ask, url: Url) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(host.turn(stream=ask.stream))
            except FetchFailed as exc:
                if exc.reason == UNREACHABLE:
                    self.reach.failed(url.host, url.port)
                raise
            yield

    async def _enter(self, exchange: Exchange, host: Host) -> None:
        begun = time.monotonic()
        try:
            await exchange.open()
        except FetchFailed as exc:
            if exc.again and exc.reason in {UNREACHABLE, TIMEOUT}:
                host.silent(begun)
                self.reach.failed(exchange.url.host, exchange.url.port)
            raise
        host.answered()
        self.reach.answered(exchange.url.host, exchange.url.port)
        if exchange.answer.status not in _TAKEN:
            host.asked_to_wait(exchange.answer.failure(host.name).wait)

    async def _knock(self, host: str, port: int) -> bool:
        try:
            stream = await self._backend.connect_tcp(host, port, self._limits.connect_seconds)
        except (ConnectError, ConnectTimeout, FetchFailed):
            return False
        await stream.aclose()
        return True

    async def _check(self, exchange: Exchange) -> None:
        answer, host = exchange.answer, exchange.url.host
        if answer.status not in _TAKEN:
            await exchange.discard()
            raise answer.failure(host)
        if answer.encoding:
            raise FetchFailed(HTTP_STATUS, f"{host} wraps it in {answer.encoding}, unasked")
        rule = "" if self._limits.ignore_robots_tag else refused(answer)
        if rule:
            raise FetchFailed(ROBOTS, f'{host} says "{rule}" of it (X-Robots-Tag)')

    def _sent(self, ask: Ask, url: Url) -> dict[str, str]:
        if self._headers is None or url.origin != ask.url.origin:
            return ask.headers
        return {**ask.headers, **self._headers(str(url))}

    def _pool(self) -> AsyncConnectionPool:
        return AsyncConnectionPool(
            ssl_context=self._context,
            max_connections=2 * self._limits.per_host,  # streams have theirs beside
            keepalive_expiry=_KEPT_SECONDS,
            http2=True,
            network_backend=self._backend,
        )


def _next(exchange: Exchange, met: set[Url]) -> Url:
    location, host = exchange.answer.location, exchange.url.host
    if not location:
        raise FetchFailed(BAD_REDIRECT, f"{host} redirects without saying where to")
    url = exchange.url.follow(location)
    if url in met:
        raise FetchFailed(BAD_REDIRECT, f"redirects of {host} lead round in a circle")
    met.add(url)
    return url
