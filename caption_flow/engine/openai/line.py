"""Engine `openai`: one HTTP request and its answer, whole and within bounds."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore2
from msgspec import Struct

from caption_flow import __version__
from caption_flow.engine.openai.trouble import Cut, Down, Late, Spoilt, Trouble, words
from caption_flow.fetch.answers import Answer
from caption_flow.fetch.wire import connect

CONNECT_SECONDS = 10.0
MOST_BYTES = 8 << 20  # of an answer
# Servers close unused connections, many after 5 s; a request that meets the closing is lost.
_KEPT_SECONDS = 4.0


class Reply(Struct, frozen=True):
    """What came back."""

    head: Answer
    body: bytes


class Line:
    """Connections to all servers of an engine; how many is decided above."""

    def __init__(self) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=None,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=_Backend(),
        )

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        seconds: float,
        secret: str | None,
    ) -> Reply:
        """Send a request and read the answer; raises Down, Late, Cut or Spoilt.

        `secret` is shown in none of them, though the server sends it back.
        """
        sent = {
            "Host": urlsplit(url).netloc,
            "User-Agent": f"caption-flow/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **headers,
            "Content-Length": str(len(body)),
        }
        request = httpcore2.Request(
            method,
            url,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": {"connect": min(CONNECT_SECONDS, seconds)}},
        )
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(request)
        except Trouble:
            raise
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
            raise Down(f"no connection: {_said(exc, secret)}") from exc
        except TimeoutError as exc:
            raise Late(f"no answer within {seconds:g} s (timeout)") from exc
        except Exception as exc:  # the server chose what is parsed
            raise Cut(f"the answer broke off: {_said(exc, secret)}") from exc

    async def _exchange(self, request: httpcore2.Request) -> Reply:
        response = await self._pool.handle_async_request(request)
        try:
            body = bytearray()
            async for piece in response.stream:  # type: ignore[union-attr]
                body += piece
                if len(body) > MOST_BYTES:
                    raise Spoilt(f"an answer of more than {MOST_BYTES >> 20} MiB")
            return Reply(Answer(response.status, response.headers), bytes(body))
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Backend(httpcore2.AsyncNetworkBackend):
    """Connects wherever the operator says, private networks included."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is httpcore's
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host by name or address."""
        return await connect(host, port, timeout or CONNECT_SECONDS)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


def _said(exc: Exception, secret: str | None) -> str:
    """Tell an error, which may quote all that the server sent."""
    return words(str(exc).encode("utf-8", "replace"), secret).rstrip(".") or type(exc).__name__
