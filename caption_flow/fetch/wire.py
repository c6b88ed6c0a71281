"""Fetch: one connection as the HTTP library wants it, over a transport of the event loop.

Ours, since the library's own may lose a connection that comes about just when who asked for it is
cancelled. It is closed by dropping it: a server is owed no farewell, and a bad one waits for it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from httpcore2 import (
    AsyncNetworkStream,
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)

_HELD = 256 << 10  # bytes that are received ahead before the server has to wait


async def connect(address: str, port: int, seconds: float) -> "Wire":
    """Connect to an address, which is not resolved any more."""
    loop = asyncio.get_running_loop()
    async with _within(seconds, ConnectTimeout, ConnectError):
        _, wire = await loop.create_connection(Wire, address, port)
    return wire


class Wire(AsyncNetworkStream, asyncio.Protocol):
    """A connection; the event loop calls its one half, the HTTP library the other."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = bytearray()
        self._over = False  # nothing more will be received
        self._broken: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hold what came."""
        self._received += data
        self._news.set()
        if len(self._received) >= _HELD:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Note that no more comes; the event loop closes the transport."""
        self._over = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self._over = True
        self._broken = exc
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    # What the HTTP library calls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read some bytes; none at the end."""
        if not self._received and not self._over:
            self._news.clear()
            async with _within(timeout, ReadTimeout, ReadError):
                await self._news.wait()
        if not self._received and self._broken:
            raise ReadError(str(self._broken)) from self._broken
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        held = len(self._received)
        if held < _HELD <= held + len(data) and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write bytes, waiting while the server takes none."""
        if not buffer:
            return
        if self._transport.is_closing():
            raise WriteError(str(self._broken or "the server has closed the connection"))
        self._transport.write(buffer)
        if not self._writable.is_set():
            async with _within(timeout, WriteTimeout, WriteError):
                await self._writable.wait()

    async def aclose(self) -> None:
        """Drop the connection."""
        self._transport.abort()
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncNetworkStream:
        """Go on under TLS."""
        loop = asyncio.get_running_loop()
        plain = self._transport
        try:
            async with _within(timeout, ConnectTimeout, ConnectError):
                self._transport = await loop.start_tls(
                    plain, self, ssl_context, server_hostname=server_hostname
                )
        except BaseException:
            plain.abort()
            raise
        if self._transport is None:
            raise ConnectError("the server closed the connection during the TLS handshake")
        return self

    def get_extra_info(self, info: str) -> Any:
        """Tell what the library asks: above all, whether an idle connection is over."""
        if info == "is_readable":
            return bool(self._received) or self._over or self._transport.is_closing()
        return self._transport.get_extra_info(info)


@asynccontextmanager
async def _within(
    seconds: float | None, late: type[Exception], broken: type[Exception]
) -> AsyncIterator[None]:
    """Put errors in the words of the HTTP library."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise late(str(exc)) from exc
    except OSError as exc:  # those of TLS too
        raise broken(str(exc)) from exc
