"""Fetch: what is known of each host and port, and the connections kept to it.

A pool for each, since the cost of one grows with its connections, and so that one host's troubles
stay its own. Of hosts nobody uses, few keep their connections and not many are remembered.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from httpcore2 import AsyncConnectionPool

from caption_flow.fetch.failures import RATE_LIMITED, UNREACHABLE, FetchFailed
from caption_flow.fetch.limits import LONGEST_WAIT

DEAD_AFTER = 3  # connections in a row that came to nothing
DEAD_SECONDS = 60.0
_SHUT_SECONDS = 600.0  # at most, that a host which asks for a long wait is left alone
_WARM_HOSTS = 32  # unused hosts whose connections are kept
_REMEMBERED = 4096  # hosts


class Wires:
    """One pool of connections; once retired it gets no new users, and is closed after its last."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool
        self.users = 0
        self.retired = False


class Host:
    """One host and port: how many may use it, and whether it is worth trying."""

    def __init__(self, name: str, per_host: int) -> None:
        self.name = name
        self.users = 0  # waiting ones too
        self.wires: Wires | None = None
        self._slots = asyncio.Semaphore(per_host)
        # Apart: a stream may be held for long by who meanwhile downloads from the same host.
        self._stream_slots = asyncio.Semaphore(per_host)
        self._silent = 0  # tries in a row that no answer came to
        self._silent_since = 0.0  # when the first of them failed
        self._dead_until = 0.0
        self._paused_until = 0.0
        self._shut_until = 0.0

    @asynccontextmanager
    async def turn(self, *, stream: bool = False) -> AsyncIterator[None]:
        """Wait until one more may ask it, and for what it asked us to wait."""
        self._check()
        async with self._stream_slots if stream else self._slots:
            await self._pause()
            self._check()
            yield

    def answered(self) -> None:
        """Note that it lives."""
        self._silent = 0
        self._dead_until = 0.0

    def silent(self, begun: float) -> None:
        """Note that it did not answer a try that was begun then, on the monotonic clock.

        Those that fail at once are no proof: it may be we who stood still meanwhile.
        """
        now = time.monotonic()
        if not self._silent:
            self._silent_since = now
        self._silent += 1
        if self._silent >= DEAD_AFTER and begun >= self._silent_since:
            self._dead_until = now + DEAD_SECONDS

    def asked_to_wait(self, seconds: float) -> None:
        """Note that it wants to be left alone, by all of us."""
        now = time.monotonic()
        if seconds > LONGEST_WAIT:
            self._shut_until = max(self._shut_until, now + min(seconds, _SHUT_SECONDS))
        else:
            self._paused_until = max(self._paused_until, now + seconds)

    async def _pause(self) -> None:
        pause = self._paused_until - time.monotonic()
        while pause > 0:
            await asyncio.sleep(pause)
            pause = self._paused_until - time.monotonic()

    def _check(self) -> None:
        now = time.monotonic()
        if now < self._dead_until:
            detail = f"{self.name} did not answer {self._silent} times in a row"
            raise FetchFailed(UNREACHABLE, detail, again=False)
        if now < self._shut_until:
            detail = f"{self.name} asked to be left alone for longer than we wait"
            raise FetchFailed(RATE_LIMITED, detail, again=False)


class Hosts:
    """All hosts met, the least recently used ones forgotten first."""

    def __init__(self, make_pool: Callable[[], AsyncConnectionPool], per_host: int) -> None:
        self._make_pool = make_pool
        self._per_host = per_host
        self._known: OrderedDict[tuple[str, int], Host] = OrderedDict()
        self._warm: OrderedDict[Host, None] = OrderedDict()  # unused, with connections
        self._open: set[Wires] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def use(self, name: str, port: int) -> AsyncIterator[Host]:
        """Know the host, and keep it known while it is in use."""
        host = self._find(name, port)
        host.users += 1
        self._warm.pop(host, None)
        try:
            yield host
        finally:
            host.users -= 1
            if not host.users and host.wires and not host.wires.retired:
                self._warm[host] = None
                self._cool()

    @asynccontextmanager
    async def connections(self, host: Host) -> AsyncIterator[Wires]:
        """Use the pool of a host."""
        wires = host.wires
        if wires is None or wires.retired:
            wires = self._connect(host)
        wires.users += 1
        try:
            yield wires
        finally:
            wires.users -= 1
            self._close_if_done(wires)

    async def close(self) -> None:
        """Close all connections."""
        for wires in list(self._open):
            wires.retired = True
            wires.users = 0
            self._close_if_done(wires)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _find(self, name: str, port: int) -> Host:
        host = self._known.get((name, port))
        if host is None:
            host = self._known[name, port] = Host(name, self._per_host)
            self._forget()
        self._known.move_to_end((name, port))
        return host

    def _forget(self) -> None:
        for key in list(self._known)[: max(0, len(self._known) - _REMEMBERED)]:
            host = self._known[key]
            if not host.users:
                del self._known[key]
                self._warm.pop(host, None)
                self._drop_wires(host)

    def _connect(self, host: Host) -> Wires:
        host.wires = wires = Wires(self._make_pool())
        self._open.add(wires)
        return wires

    def _cool(self) -> None:
        while len(self._warm) > _WARM_HOSTS:
            host, _ = self._warm.popitem(last=False)
            self._drop_wires(host)

    def _drop_wires(self, host: Host) -> None:
        if host.wires:
            host.wires.retired = True
            self._close_if_done(host.wires)
            host.wires = None

    def _close_if_done(self, wires: Wires) -> None:
        if wires.retired and not wires.users and wires in self._open:
            self._open.discard(wires)
            task = asyncio.create_task(wires.pool.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
