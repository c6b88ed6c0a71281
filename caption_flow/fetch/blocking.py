"""Fetch: the same downloads from threads, on one event loop in a thread of its own per process."""

import asyncio
import os
import ssl
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from caption_flow.errors import SourceError
from caption_flow.fetch.ahead import Room, Share, fetch_into
from caption_flow.fetch.client import Client
from caption_flow.fetch.failures import FetchFailed
from caption_flow.fetch.journey import Headers
from caption_flow.fetch.limits import DownloadLimits, Fetched, Request
from caption_flow.fetch.resolver import Resolver
from caption_flow.lifecycle import cancel

T = TypeVar("T")

_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a fork has the loop, not its thread
_lock = threading.Lock()
_clients: WeakSet["BlockingClient"] = WeakSet()
_abandoned = threading.Event()


class Abandoned(SourceError):
    """The process ends, and a download with it."""


def abandon() -> None:
    """End all downloads of this process, now and from now on: whoever waits gets Abandoned."""
    _abandoned.set()
    with _lock:
        clients = list(_clients)
    for client in clients:
        client.leave()


class BlockingClient:
    """Fetches from any thread; all of a process share one event loop."""

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
        self._client = Client(
            limits,
            allow_networks,
            headers,
            trusted=trusted,
            resolver=resolver,
            ssl_context=ssl_context,
        )
        self._loop = _shared_loop()
        self._flying: set[asyncio.Task[Any]] = set()
        with _lock:
            _clients.add(self)

    @property
    def cut_off(self) -> bool:
        """Many hosts did not answer and none did between: it must be our own network."""
        return self._client.cut_off

    def get(
        self, url: str, *, max_bytes: int, start: int | None = None, length: int | None = None
    ) -> Fetched:
        """Fetch what is at a URL, or a run of its bytes; FetchFailed where that cannot be."""
        return self._run(
            partial(self._client.get, url, max_bytes=max_bytes, start=start, length=length)
        )

    def head(self, url: str) -> Fetched:
        """Ask how large it is and which version."""
        return self._run(partial(self._client.head, url))

    def stream(
        self,
        url: str,
        *,
        start: int = 0,
        end: int | None = None,
        max_bytes: int | None = None,
        version: Fetched | None = None,
    ) -> Iterator[bytes]:
        """Read what is at a URL piece by piece, going on where a connection breaks."""
        chunks = self._client.stream(
            url, start=start, end=end, max_bytes=max_bytes, version=version
        )
        try:
            while (chunk := self._run(partial(_next, chunks))) is not None:
                yield chunk
        finally:
            self._run(partial(_leave, chunks))

    def fetch_all(
        self, requests: Iterable[Request], ahead: int = 64, ahead_bytes: int = 64 << 20
    ) -> Iterator[Fetched | FetchFailed]:
        """Fetch in the order asked, so many at once and holding so many bytes ahead.

        Closing the iterator cancels what is in flight. At most one body is held beyond
        `ahead_bytes`: the next one, if it needs to be.
        """
        room = Room(ahead_bytes)
        flying: deque[tuple[Share, Future[Fetched | FetchFailed]]] = deque()
        try:
            for number, request in enumerate(requests):
                while flying and (len(flying) >= ahead or room.tight(_unfinished(flying))):
                    yield self._land(room, flying)
                share = Share(room, number)
                flying.append(
                    (share, self._start(partial(fetch_into, self._client, request, share)))
                )
            while flying:
                yield self._land(room, flying)
        finally:
            for _, future in flying:
                future.cancel()

    def close(self) -> None:
        """Cancel what is in flight and close all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()

    def leave(self) -> None:
        """Cancel what is in flight, without waiting for that."""
        self._loop.call_soon_threadsafe(self._cancel_all)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self.close()

    def _land(
        self, room: Room, flying: deque[tuple[Share, "Future[Fetched | FetchFailed]"]]
    ) -> Fetched | FetchFailed:
        share, future = flying[0]
        landed = future.result()
        flying.popleft()
        self._loop.call_soon_threadsafe(room.taken, share)
        return landed

    def _start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(self._noted(work), self._loop)

    async def _noted(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task = asyncio.current_task()
        assert task  # noqa: S101 - run_coroutine_threadsafe() makes one
        self._flying.add(task)
        try:
            if not _abandoned.is_set():
                return await work()
        except asyncio.CancelledError:
            if not _abandoned.is_set():
                raise
        finally:
            self._flying.discard(task)
        raise Abandoned("A download was left, since this process was asked to end.")

    def _cancel_all(self) -> None:
        for task in tuple(self._flying):
            task.cancel()

    async def _close(self) -> None:
        await cancel(*self._flying)
        await self._client.__aexit__(None, None, None)

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        future = self._start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupted caller waits for it no more
            raise


def _unfinished(flying: Iterable[tuple[Share, "Future[Fetched | FetchFailed]"]]) -> int:
    return sum(not future.done() for _, future in flying)


async def _leave(chunks: AsyncGenerator[bytes, None]) -> None:
    await chunks.aclose()


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    chunk: bytes | None = await anext(chunks, None)
    return chunk


def _shared_loop() -> asyncio.AbstractEventLoop:
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = _new_loop()
            threading.Thread(
                target=loop.run_forever, name="caption-flow-fetch", daemon=True
            ).start()
        return loop


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when we were forked
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
