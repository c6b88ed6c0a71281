"""Supervisor: a whole job on this machine, from its first sample to its last part."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol, TypeVar

from msgspec import Struct

from caption_flow.config import JobConfig, dump
from caption_flow.errors import QueueUnreachable
from caption_flow.lifecycle import Drain
from caption_flow.model import Counts, DeadLetter
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.embedded import EmbeddedRedis
from caption_flow.queue.ports import Inspector, Member, Snapshot
from caption_flow.supervisor.child import Role
from caption_flow.supervisor.supervisor import WATCH_SECONDS, Supervisor

logger = logging.getLogger(__name__)

T = TypeVar("T")

FEED = "feed"
SINK = "sink"
PROXY = "proxy"
# For all roles, from when they are asked to end; or what workers have, and so much more.
STOP_SECONDS = 28.0
STOP_MORE = 13.0
SINK_SECONDS = 8.0  # of these, for the last part to be written
DEAD_SHOWN = 5  # dead letters read at the end


class Plan(Struct, frozen=True):
    """Which roles a job has on this machine."""

    workers: Sequence[tuple[str, ...]]  # arguments of each
    ends: bool  # end by itself when everything is captioned
    drain_timeout: float  # seconds for a worker
    proxy: bool = False  # whether others may come in


class Server(Protocol):
    """The Redis of a job."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    async def revive(self) -> None:
        """Take a step towards its answering again, as far as that is ours to do."""
        ...


class ForeignServer(Struct, frozen=True):
    """A Redis that somebody else keeps running."""

    url: str

    async def revive(self) -> None:
        """Leave it to them."""


class LocalJob:
    """Feeder, sink and perhaps workers as children of this process."""

    def __init__(
        self,
        supervisor: Supervisor,
        plan: Plan,
        server: Server,
        drain: Drain,
        *,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`ready` is called once, when every role is at work."""
        self._ready: Callable[[], None] | None = ready
        self._supervisor = supervisor
        self._plan = plan
        self._server = server
        self._drain = drain
        self._patience = Patience(drain)
        self._away = False  # the queue, when it was asked last
        self._workers = [f"worker-{n}" for n in range(len(plan.workers))]

    async def run(
        self, inspector: Inspector, watch: Callable[[Snapshot], None]
    ) -> tuple[Snapshot, list[DeadLetter]]:
        """Run until done or asked to drain, showing each snapshot to `watch`.

        Answers how the job stands then, and its newest dead letters; Interrupted when nobody
        can tell, since the queue is away.
        """
        try:
            self._start()
            with suppress(Interrupted):
                await self._drain.cut(self._watch(inspector, watch))
            await self._end(inspector)
            last = await self._asked(inspector.snapshot)
            watch(last)
            return last, await self._asked(lambda: inspector.dead_letters(DEAD_SHOWN))
        finally:
            self._supervisor.kill_all()

    async def _watch(self, inspector: Inspector, watch: Callable[[Snapshot], None]) -> None:
        """Look after the roles until the job is done."""
        books = Counts()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._supervisor.look_after(books)
            fed = self._supervisor.is_done(FEED)
            snapshot = await self._asked(inspector.snapshot)
            books = snapshot.counts
            watch(snapshot)
            if self._ready is not None and self._are_at_work(snapshot.members):
                self._ready()
                self._ready = None
            if fed and self._plan.ends and snapshot.counts.done:
                return
            if fed and not _is_fed(snapshot.counts):
                logger.warning("There is more to feed now; starting the feeder again")
                self._feed()

    def _are_at_work(self, members: Sequence[Member]) -> bool:
        """Whether each role has begun with its work, or is done with it."""
        here = socket.gethostname()
        begun = {m.pid for m in members if m.host == here and m.state != "starting"}
        return all(pid in begun for pid in self._supervisor.pids())

    async def _end(self, inspector: Inspector) -> None:
        """Let the roles drain: the sink last, since it writes what the others still hand over."""
        deadline = time.monotonic() + max(STOP_SECONDS, self._plan.drain_timeout + STOP_MORE)
        if self._drain.asked:
            with suppress(Interrupted):  # only then is it sure whether the queue is there
                await self._asked(inspector.snapshot)
        makers = [FEED, *self._workers, PROXY]
        # Where the queue is away, nobody can hand anything over, and all have their time at once.
        together = [[*makers, SINK]] if self._away else [makers, [SINK]]
        for names in together:
            until = deadline if names == [SINK] else deadline - SINK_SECONDS
            await self._supervisor.end(names, until - time.monotonic())

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the queue until it answers."""
        return await self._patience(lambda: self._reached(question))

    async def _reached(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the queue once; bring its server back when it is gone.

        It may have been killed, or have been that of another run, which has ended.
        """
        self._away = True  # until it answers
        try:
            answer = await question()
        except QueueUnreachable:
            await self._server.revive()
            raise
        self._away = False
        return answer

    def _feed(self) -> None:
        self._supervisor.start(Role(FEED, ("feed",), ends=True))

    def _start(self) -> None:
        self._feed()
        self._supervisor.start(Role(SINK, ("sink",)))
        for name, arguments in zip(self._workers, self._plan.workers, strict=True):
            self._supervisor.start(Role(name, ("worker", *arguments)))
        if self._plan.proxy:
            self._supervisor.start(Role(PROXY, ("proxy",)))


def _is_fed(counts: Counts) -> bool:
    """Whether a feeder has no more to do: no retry came, nor was its queue emptied or set back."""
    return counts.plan_done and counts.in_chunks == 0


@contextmanager
def redis_for(config: JobConfig, directory: Path) -> Iterator[Server]:
    """Give the configured Redis, or an embedded one while the context lasts."""
    if config.redis:
        yield ForeignServer(config.redis)
        return
    with EmbeddedRedis(directory) as embedded:
        yield embedded


@contextmanager
def handed_down(config: JobConfig) -> Iterator[Path]:
    """Write the effective settings to a file that only we and our children can read."""
    descriptor, name = mkstemp(prefix="caption-flow-", suffix=".json")  # mode 0600
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(dump(config))
        yield path
    finally:
        path.unlink()
