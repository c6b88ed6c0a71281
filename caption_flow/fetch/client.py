"""Fetch: downloads over HTTP, from servers that may be slow, broken or hostile.

A download is tried again where that may help, with growing pauses; all its tries end within
DownloadLimits.deadline seconds of its first connection. Waiting for a turn before that does not
count, nor does waiting for a place.
"""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import cache
from types import TracebackType
from typing import Self

from httpcore2 import default_ssl_context
from msgspec.structs import replace

from caption_flow.fetch.body import Share, Unlimited, read_body
from caption_flow.fetch.clock import Clock
from caption_flow.fetch.failures import BAD_URL, TOO_MANY_BYTES, FetchFailed
from caption_flow.fetch.journey import Ask, Headers, Traveller
from caption_flow.fetch.limits import DownloadLimits, Fetched, Request
from caption_flow.fetch.persist import persist
from caption_flow.fetch.ranges import Range
from caption_flow.fetch.resolver import Resolver
from caption_flow.fetch.streaming import stream
from caption_flow.fetch.urls import Url

_NO_HEAD = frozenset({"forbidden", "http_status", "server_error"})  # may be the method's fault


class Client:
    """Fetches on one event loop."""

    def __init__(
        self,
        limits: DownloadLimits | None = None,
        allow_networks: Iterable[str] = (),
        headers: Headers | None = None,
        *,
        trusted: Iterable[tuple[str, int]] = (),  # hosts and ports, wherever they are
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or DownloadLimits()
        context = ssl_context or _context()
        self._traveller = Traveller(
            self._limits, allow_networks, headers, resolver, context, trusted=trusted
        )

    @property
    def cut_off(self) -> bool:
        """Many hosts did not answer and none did between: it must be our own network."""
        return self._traveller.reach.cut_off

    async def get(
        self, url: str, *, max_bytes: int, start: int | None = None, length: int | None = None
    ) -> Fetched:
        """Fetch what is at a URL, or a run of its bytes; FetchFailed where that cannot be."""
        return await self.fetch(Request(url, max_bytes, start, length), Unlimited())

    async def fetch(self, request: Request, share: Share) -> Fetched:
        """Fetch, in as much memory as is granted."""
        wanted = _range(request)
        ask = Ask(Url.parse(request.url), headers=wanted.header)

        async def one_try(clock: Clock) -> Fetched:
            share.drop()
            return await self._read(ask, clock, wanted, request.max_bytes, share)

        return await self._persist(one_try, ask)

    async def head(self, url: str) -> Fetched:
        """Ask how large it is and which version; where HEAD is refused, by fetching a byte."""
        ask = Ask(Url.parse(url), method="HEAD")
        try:
            return await self._persist(lambda clock: self._facts(ask, clock), ask)
        except FetchFailed as exc:
            if exc.reason not in _NO_HEAD:
                raise
        return replace(await self.get(url, max_bytes=1, start=0, length=1), body=b"")

    def stream(
        self,
        url: str,
        *,
        start: int = 0,
        end: int | None = None,
        max_bytes: int | None = None,
        version: Fetched | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Read what is at a URL piece by piece, going on where a connection breaks."""
        limits, wanted = self._limits, Range(start, end)
        return stream(self._traveller, limits, url, wanted, max_bytes=max_bytes, version=version)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        await self._traveller.close()

    async def _persist(self, one_try: Callable[[Clock], Awaitable[Fetched]], ask: Ask) -> Fetched:
        try:
            return await persist(one_try, self._limits, ask.url.host)
        except FetchFailed as exc:
            if exc.transient:
                await self._traveller.reach.judge()
            raise

    async def _read(
        self, ask: Ask, clock: Clock, wanted: Range, max_bytes: int, share: Share
    ) -> Fetched:
        async with self._traveller.arrive(ask, clock) as exchange:
            answer = exchange.answer
            found = wanted.find(answer, exchange.url.host)
            body = await read_body(
                exchange, share, skip=found.skip, length=found.length, max_bytes=max_bytes
            )
            url = str(exchange.url)
            return Fetched(body, url, found.total, answer.etag, answer.last_modified)

    async def _facts(self, ask: Ask, clock: Clock) -> Fetched:
        async with self._traveller.arrive(ask, clock) as exchange:
            await exchange.read()
            answer, url = exchange.answer, str(exchange.url)
            return Fetched(b"", url, answer.length, answer.etag, answer.last_modified)


def _range(request: Request) -> Range:
    start, length = request.start or 0, request.length
    if start < 0 or (length is not None and length < 1):
        raise FetchFailed(BAD_URL, f"it is asked for {length} bytes from byte {start} on")
    if length is not None and length > request.max_bytes:
        detail = f"{length:,} bytes are asked for; the limit is {request.max_bytes:,}"
        raise FetchFailed(TOO_MANY_BYTES, detail)
    return Range(start, None if length is None else start + length)


@cache
def _context() -> ssl.SSLContext:
    """Read the certificates of this machine, which takes a while, once."""
    return default_ssl_context()
