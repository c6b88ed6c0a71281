"""Supervisor: a whole job on this machine, from its first sample to its last part."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from msgspec import Struct

from caption_flow.config import JobConfig, dump
from caption_flow.lifecycle import Drain
from caption_flow.patience import Patience
from caption_flow.queue.embedded import EmbeddedRedis
from caption_flow.queue.ports import Inspector, Snapshot
from caption_flow.supervisor.child import Role
from caption_flow.supervisor.supervisor import WATCH_SECONDS, Supervisor

FEED = "feed"
SINK = "sink"
SINK_SECONDS = 30.0  # for the last part to be written


class Plan(Struct, frozen=True):
    """Which roles a job has on this machine."""

    workers: Sequence[tuple[str, ...]]  # arguments of each
    ends: bool  # end by itself when everything is captioned
    drain_timeout: float  # seconds for a worker


class LocalJob:
    """Feeder, sink and perhaps workers as children of this process."""

    def __init__(self, supervisor: Supervisor, plan: Plan, drain: Drain) -> None:
        self._supervisor = supervisor
        self._plan = plan
        self._drain = drain
        self._workers = [f"worker-{n}" for n in range(len(plan.workers))]

    async def run(self, inspector: Inspector, watch: Callable[[Snapshot], None]) -> Snapshot:
        """Run until done or asked to drain, showing each snapshot to `watch`."""
        try:
            self._start()
            patience = Patience(self._drain)
            while not await self._drain.wait(WATCH_SECONDS):
                self._supervisor.look_after()
                snapshot = await patience(inspector.snapshot)
                watch(snapshot)
                if self._plan.ends and self._supervisor.is_done(FEED) and snapshot.counts.done:
                    break
            # The feeder and the workers first: the sink writes what they still hand over.
            seconds = self._plan.drain_timeout + SINK_SECONDS
            await self._supervisor.end([FEED, *self._workers], seconds)
            await self._supervisor.end([SINK], SINK_SECONDS)
            last = await patience(inspector.snapshot, last=True)
            watch(last)
            return last
        finally:
            self._supervisor.kill_all()

    def _start(self) -> None:
        self._supervisor.start(Role(FEED, ("feed",)))
        self._supervisor.start(Role(SINK, ("sink",)))
        for name, arguments in zip(self._workers, self._plan.workers, strict=True):
            self._supervisor.start(Role(name, ("worker", *arguments)))


@contextmanager
def redis_for(config: JobConfig, directory: Path) -> Iterator[str]:
    """Give the URL of the configured Redis, or of an embedded one while the context lasts."""
    if config.redis:
        yield config.redis
        return
    with EmbeddedRedis(directory) as embedded:
        yield embedded.url


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
