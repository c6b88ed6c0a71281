"""Fetch: something large read piece by piece, going on where a connection broke off.

How long it takes is its reader's affair; how slowly it may come is not. A stream that goes on
asks for the rest of the version it began with, and says so where there is another one now.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from msgspec import Struct

from caption_flow.fetch.answers import Answer
from caption_flow.fetch.clock import Clock
from caption_flow.fetch.exchange import Exchange
from caption_flow.fetch.failures import CHANGED, TIMEOUT, TOO_MANY_BYTES, TRUNCATED, FetchFailed
from caption_flow.fetch.journey import Ask, Traveller
from caption_flow.fetch.limits import LONGEST_WAIT, DownloadLimits, Fetched
from caption_flow.fetch.persist import BACKOFF
from caption_flow.fetch.ranges import Range
from caption_flow.fetch.urls import Url

PROGRESS = 64 << 10  # bytes: less in the time of one try is too slow, more is worth going on


async def stream(
    traveller: Traveller,
    limits: DownloadLimits,
    url: str,
    wanted: Range,
    *,
    max_bytes: int | None,
    version: Fetched | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a range in order; a FetchFailed where they cannot all be had.

    With a version they are of that one, as far as the server tells versions apart.
    """
    course = _Course(Url.parse(url), wanted, max_bytes, limits, version)
    failures = 0
    while not course.done:
        began = course.position
        try:
            async with aclosing(course.stretch(traveller)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except FetchFailed as exc:
            failed = exc
        else:
            return
        failures = 1 if course.position - began >= PROGRESS else failures + 1
        if not failed.again or failures >= limits.tries or failed.wait > LONGEST_WAIT:
            raise failed
        await asyncio.sleep(max(BACKOFF.delay(failures), failed.wait))


class _Version(Struct, frozen=True):
    etag: str
    last_modified: str
    total: int | None

    @classmethod
    def of(cls, seen: Answer | Fetched) -> "_Version":
        return cls(seen.etag, seen.last_modified, seen.total)

    @property
    def header(self) -> dict[str, str]:
        strong = self.etag if not self.etag.startswith("W/") else ""
        validator = strong or self.last_modified
        return {"If-Range": validator} if validator else {}

    def differs(self, other: "_Version") -> bool:
        if self.total is not None and other.total is not None and self.total != other.total:
            return True
        if self.etag and other.etag:
            return self.etag != other.etag
        mine, its = self.last_modified, other.last_modified
        return bool(mine and its) and mine != its


class _Course:
    """How far a stream has come, and of which version."""

    def __init__(
        self,
        url: Url,
        wanted: Range,
        max_bytes: int | None,
        limits: DownloadLimits,
        version: Fetched | None,
    ) -> None:
        self.position = wanted.start
        self._url = url
        self._wanted = wanted
        self._max_bytes = max_bytes
        self._limits = limits
        self._version = _Version.of(version) if version else None

    @property
    def done(self) -> bool:
        """Whether nothing is left to be read."""
        total = self._version and self._version.total
        return self.position in {self._wanted.end, total} and self.position > self._wanted.start

    async def stretch(self, traveller: Traveller) -> AsyncGenerator[bytes, None]:
        """Read on until the end, or until something breaks."""
        rest = Range(self.position, self._wanted.end)
        headers = rest.header
        if self._version and self.position > self._wanted.start:
            headers |= self._version.header
        ask = Ask(self._url, headers=headers, stream=True)
        async with AsyncExitStack() as stack:
            async with Clock(self._limits.seconds, f"an answer of {self._url.host}") as clock:
                exchange = await stack.enter_async_context(traveller.arrive(ask, clock))
            self._check_version(exchange.answer)  # first: another version comes as a whole
            found = rest.find(exchange.answer, exchange.url.host)
            self._check_size(found.length)
            async with aclosing(self._bytes(exchange, found.skip, found.length)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _bytes(
        self, exchange: Exchange, skip: int, length: int | None
    ) -> AsyncGenerator[bytes, None]:
        pace = _Pace(self._limits)
        to_its_end = length is not None and exchange.answer.length == skip + length
        while length is None or length > 0:
            chunk = await pace.read(exchange)
            if not chunk:
                break
            passed = min(skip, len(chunk))
            skip -= passed
            chunk = chunk[passed : None if length is None else passed + length]
            length = None if length is None else length - len(chunk)
            self.position += len(chunk)
            self._check_size(0)
            if chunk:
                yield chunk
        if length:
            raise FetchFailed(TRUNCATED, f"{length:,} bytes are missing at its end")
        if to_its_end:
            await pace.read(exchange)  # its end, so that the connection can be used again

    def _check_version(self, answer: Answer) -> None:
        version = _Version.of(answer)
        if self._version is None:
            self._version = version
        elif self._version.differs(version):
            detail = f"{self._url.host} has another version of it now; start again"
            raise FetchFailed(CHANGED, detail)

    def _check_size(self, more: int | None) -> None:
        size = self.position - self._wanted.start + (more or 0)
        if self._max_bytes is not None and size > self._max_bytes:
            detail = f"it has {size:,} bytes or more; the limit is {self._max_bytes:,}"
            raise FetchFailed(TOO_MANY_BYTES, detail)


class _Pace:
    """Reads, and ends what comes too slowly; the reader's own time does not count."""

    def __init__(self, limits: DownloadLimits) -> None:
        self._limits = limits
        self._bytes = 0
        self._seconds = 0.0

    async def read(self, exchange: Exchange) -> bytes:
        """Read the next piece."""
        loop, idle = asyncio.get_running_loop(), self._limits.idle_seconds
        began = loop.time()
        try:
            async with asyncio.timeout(idle):
                chunk = await exchange.read()
        except TimeoutError as exc:
            detail = f"{exchange.url.host} sent nothing for {idle:g} s"
            raise FetchFailed(TIMEOUT, detail) from exc
        self._bytes += len(chunk)
        self._seconds += loop.time() - began
        if self._bytes >= PROGRESS:
            self._bytes, self._seconds = 0, 0.0
        elif self._seconds > self._limits.seconds:
            raise FetchFailed(TIMEOUT, f"{exchange.url.host} sends it too slowly")
        return chunk
