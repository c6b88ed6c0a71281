"""Fetch: one request and its answer. What the HTTP library says of trouble ends here."""

import asyncio
from contextlib import suppress
from typing import Any

import httpcore2

from caption_flow.fetch.answers import Answer
from caption_flow.fetch.failures import TIMEOUT, TRUNCATED, UNREACHABLE, FetchFailed
from caption_flow.fetch.hosts import Wires
from caption_flow.fetch.limits import DownloadLimits
from caption_flow.fetch.urls import Url

_LEFT_OVER = 64 << 10  # bytes of a body nobody wants that are read to keep its connection
_LEFT_OVER_SECONDS = 1.0


class Exchange:
    """A request that is sent by open(); the body of its answer can be read until close()."""

    answer: Answer

    def __init__(
        self, wires: Wires, limits: DownloadLimits, method: str, url: Url, headers: dict[str, str]
    ) -> None:
        self.url = url
        self._wires = wires
        self._limits = limits
        self._request = _request(limits, method, url, headers)
        self._response: Any = None
        self._body: Any = None
        self._whole = True  # nothing of a body is left unread
        self._multiplexed = False

    async def open(self) -> None:
        """Send the request and receive the head of the answer."""
        try:
            response = await self._wires.pool.handle_async_request(self._request)
        except Exception as exc:  # the server chose what is parsed; no other download suffers
            raise self._trouble(exc) from exc
        self._response, self._body = response, aiter(response.stream)  # type: ignore[arg-type]
        self._whole = False
        self._multiplexed = response.extensions.get("http_version") == b"HTTP/2"
        self.answer = Answer(response.status, response.headers)

    async def read(self) -> bytes:
        """Read what comes next of the body; empty at its end."""
        try:
            chunk: bytes = await anext(self._body)
            while not chunk:
                chunk = await anext(self._body)
        except StopAsyncIteration:
            self._whole = True
            return b""
        except Exception as exc:  # the server chose what is parsed; no other download suffers
            raise self._trouble(exc) from exc
        return chunk

    async def discard(self) -> None:
        """Read a short body that nobody wants, so that the connection can be used again."""
        length = self.answer.length
        if length is not None and length <= _LEFT_OVER:
            with suppress(FetchFailed, TimeoutError):
                async with asyncio.timeout(_LEFT_OVER_SECONDS):
                    while await self.read():
                        pass

    async def close(self) -> None:
        """Let go of the connection."""
        if self._response is None:
            return
        if not self._whole:
            # The library leaves a cut HTTP/2 stream running: its server would go on sending, and
            # what arrives is lost to the window that all streams of the connection share.
            self._wires.retired = self._wires.retired or self._multiplexed
        with suppress(Exception):  # it is over, whatever fails now
            await self._body.aclose()
            if self._surplus():
                await self._response.extensions["network_stream"].aclose()
            await self._response.aclose()

    def _surplus(self) -> bool:
        """Tell whether bytes came after the answer, which the next download must not be given.

        Only the parser, deep in the library, has them.
        """
        connection = getattr(getattr(self._response.stream, "_stream", None), "_connection", None)
        parser = getattr(connection, "_h11_state", None)
        return parser is not None and bool(parser.trailing_data[0])

    def _trouble(self, exc: Exception) -> FetchFailed:
        host = self.url.host
        if isinstance(exc, FetchFailed):
            return exc
        if isinstance(exc, httpcore2.ConnectTimeout):
            seconds = self._limits.connect_seconds
            return FetchFailed(UNREACHABLE, f"no connection to {host} within {seconds:g} s")
        if isinstance(exc, httpcore2.ConnectError):
            return FetchFailed(UNREACHABLE, f"no connection to {host}: {_words(exc)}")
        if isinstance(exc, httpcore2.PoolTimeout):
            # There is always one free, unless the library has lost some to cancellations.
            self._wires.retired = True
        if isinstance(exc, httpcore2.TimeoutException):
            seconds = self._limits.idle_seconds
            return FetchFailed(TIMEOUT, f"{host} sent nothing for {seconds:g} s")
        return FetchFailed(TRUNCATED, f"the answer of {host} broke off: {_words(exc)}")


def _request(
    limits: DownloadLimits, method: str, url: Url, headers: dict[str, str]
) -> httpcore2.Request:
    sent = {
        "Host": url.authority,
        "User-Agent": limits.agent,
        "Accept": "image/*,*/*;q=0.8",
        "Accept-Encoding": "identity",
        **headers,
    }
    timeouts = {
        "connect": limits.connect_seconds,
        "read": limits.idle_seconds,
        "write": limits.idle_seconds,
        "pool": limits.seconds,
    }
    return httpcore2.Request(
        method,
        httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
        headers=[(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        extensions={"timeout": timeouts},
    )


def _words(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
