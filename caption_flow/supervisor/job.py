"""Supervisor: a whole job on this machine, from its first sample to its last part."""

import asyncio
import logging
import os
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
from caption_flow.queue.ports import Inspector, Snapshot
from caption_flow.supervisor.child import Role
from caption_flow.supervisor.supervisor import WATCH_SECONDS, Supervisor

logger = logging.getLogger(__name__)

T = TypeVar("T")

FEED = "feed"
SINK = "sink"
SINK_SECONDS = 30.0  # for the last part to be written
DEAD_SHOWN = 5  # dead letters read at the end


class Plan(Struct, frozen=True):
    """Which roles a job has on this machine."""

    workers: Sequence[tuple[str, ...]]  # arguments of each
    ends: bool  # end by itself when everything is captioned
    drain_timeout: float  # seconds for a worker


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

    def __init__(self, supervisor: Supervisor, plan: Plan, server: Server, drain: Drain) -> None:
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
            await self._end()
            last = await self._asked(inspector.snapshot)
            watch(last)
            return last, await self._asked(lambda: inspector.dead_letters(DEAD_SHOWN))
        finally:
            self._supervisor.kill_all()

    async def _watch(self, inspector: Inspector, watch: Callable[[Snapshot], None]) -> None:
        """Look after the roles until the job is done."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._supervisor.look_after()
            fed = self._supervisor.is_done(FEED)
            snapshot = await self._asked(inspector.snapshot)
            watch(snapshot)
            if fed and self._plan.ends and snapshot.counts.done:
                return
            if fed and not _is_fed(snapshot.counts):
                logger.warning("There is more to feed now; starting the feeder again")
                self._feed()

    async def _end(self) -> None:
        """Let the roles drain: the sink last, since it writes what the others still hand over."""
        makers = [FEED, *self._workers]
        # Where the queue is away, nobody can hand anything over, and all have their time at once.
        together = [[*makers, SINK]] if self._away else [makers, [SINK]]
        for names in together:
            others = self._plan.drain_timeout if FEED in names else 0.0
            await self._supervisor.end(names, others + SINK_SECONDS)

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the queue until it answers."""
        return await self._patience(lambda: self._reached(question))

    async def _reached(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the queue once; bring its server back when it is gone.

        It may have been killed, or have been that of another run, which has ended.
        """
        try:
            answer = await question()
        except QueueUnreachable:
            self._away = True
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
