"""A real HTTP server on a thread of its own, that behaves as badly as it is told.

What a path does is a behaviour: a coroutine function that is given the call and writes whatever
it likes. Behaviours end with the connection, unless they return True: then it is kept.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Self, TypeAlias


@dataclass
class Call:
    """One request, and the way to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    connection: int  # number of the connection that it came on
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    server: "NaughtyServer" = field(repr=False)
    at: float = field(default_factory=time.monotonic)  # when it came

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        self.server.sent += len(data)
        await self.writer.drain()

    async def head(self, status: int, *headers: str, length: int | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Some Words", *headers]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def gone(self) -> None:
        """Wait until the client leaves."""
        with suppress(OSError):
            await self.reader.read()


Behaviour: TypeAlias = Callable[[Call], Awaitable[bool | None]]


class NaughtyServer:
    """Listens on a port of a loopback address; at paths it was not told of, it answers 404."""

    def __init__(self, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.seen: list[Call] = []  # all requests
        self.sent = 0  # bytes
        self.connections = 0
        self._context = context
        self._paths: dict[str, Behaviour] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._calls: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def serve(self, path: str, body: bytes, *headers: str, ranges: bool = True) -> str:
        """Give a body at a path, decently."""
        return self.on(path, whole(body, *headers, ranges=ranges))

    def on(self, path: str, *behaviours: Behaviour) -> str:
        """Behave so at the first requests for a path, and like the last one from then on."""
        left = list(behaviours)

        async def next_one(call: Call) -> bool | None:
            return await (left.pop(0) if len(left) > 1 else left[0])(call)

        self._paths[path] = next_one
        return self.url(path)

    def url(self, path: str, host: str = "") -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def asked(self, path: str) -> list[Call]:
        """The requests for one path."""
        return [call for call in self.seen if call.target == path]

    @property
    def open_connections(self) -> int:
        return len(self._calls)

    def start(self) -> Self:
        self._thread.start()
        opening = asyncio.start_server(self._serve, self.host, 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _stop(self) -> None:
        self._server.close()
        # Until none is left: a connection that was only just accepted has no call to cancel yet.
        while asyncio.all_tasks() - {asyncio.current_task()}:
            for task, writer in self._calls.items():
                writer.transport.abort()  # what is still to be sent would be waited for
                task.cancel()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._calls[task] = writer
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer_all(reader, writer, self.connections)
        finally:
            if self._context:
                writer.transport.abort()  # a farewell over TLS is waited for
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._calls[task]

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        keep: bool | None = True
        while keep:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.strip().split("\r\n")
            method, target, _ = line.split(" ")
            pairs = (text.partition(": ") for text in rest)
            headers = {name.lower(): value for name, _, value in pairs}
            call = Call(method, target, headers, connection, reader, writer, self)
            self.seen.append(call)
            keep = await self._paths.get(target, status(404))(call)


def whole(body: bytes, *headers: str, ranges: bool = True) -> Behaviour:
    """All of a body, or the range asked for."""

    async def behave(call: Call) -> bool:
        asked = call.headers.get("range", "") if ranges else ""
        valid = call.headers.get("if-range")
        if not asked or (valid and not any(valid in header for header in headers)):
            await call.head(200, *headers, length=len(body))
            await call.send(b"" if call.method == "HEAD" else body)
            return True
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1 if last else None]
        end = int(first) + len(part) - 1
        if not part:
            await call.head(416, length=0)
            return True
        span = f"Content-Range: bytes {first}-{end}/{len(body)}"
        await call.head(206, *headers, span, length=len(part))
        await call.send(part)
        return True

    return behave


def status(code: int, *headers: str, body: bytes = b"<html>no</html>") -> Behaviour:
    """Any status."""

    async def behave(call: Call) -> bool:
        await call.head(code, *headers, length=len(body))
        await call.send(b"" if call.method == "HEAD" else body)
        return True

    return behave


def redirect(location: str, code: int = 302) -> Behaviour:
    """Elsewhere."""
    return status(code, f"Location: {location}")


def stalled(body: bytes, after: int) -> Behaviour:
    """The beginning of a body, and then nothing."""

    async def behave(call: Call) -> None:
        await call.head(200, length=len(body))
        await call.send(body[:after])
        await call.gone()

    return behave


async def silent(call: Call) -> None:
    """No answer."""
    await call.gone()


async def endless(call: Call) -> None:
    """A body without end."""
    await call.head(200)
    while not call.writer.transport.is_closing():
        await call.send(bytes(1 << 16))


def dripping(seconds: float, *headers: str) -> Behaviour:
    """A byte now and then, for ever."""

    async def behave(call: Call) -> None:
        await call.head(200, *headers)
        while not call.writer.transport.is_closing():
            await call.send(b"x")
            await asyncio.sleep(seconds)

    return behave


def cut(body: bytes, after: int, *headers: str) -> Behaviour:
    """The beginning of a body, and then the end of the connection."""

    async def behave(call: Call) -> None:
        start = 0
        if asked := call.headers.get("range", ""):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            span = f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}"
            await call.head(206, *headers, span, length=len(body) - start)
        else:
            await call.head(200, *headers, length=len(body))
        await call.send(body[start : start + after])

    return behave


def too_long(body: bytes, told: int) -> Behaviour:
    """More than the length it tells, on a connection it claims to keep."""

    async def behave(call: Call) -> bool:
        await call.head(200, length=told)
        await call.send(body)
        return True

    return behave


def raw(data: bytes) -> Behaviour:
    """Any bytes."""

    async def behave(call: Call) -> None:
        await call.send(data)

    return behave


def late(behaviour: Behaviour, gate: threading.Event) -> Behaviour:
    """Nothing until the gate opens."""

    async def behave(call: Call) -> bool | None:
        for _ in count():
            if gate.is_set():
                break
            await asyncio.sleep(0.005)
        return await behaviour(call)

    return behave
