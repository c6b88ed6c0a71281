"""What tests of the planner share: parts of another day, and sources that stop or stand still."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.source import Source, sample_id
from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Drain
from caption_flow.model import Caption, Listed, Raw
from tests.made import caption, folder_source
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine


def names(*numbers: int) -> list[str]:
    return [f"{n:05}.jpg" for n in numbers]


def publish(roles: Roles, *numbers: int, shard: str = ".") -> None:
    """Put samples into a part, as a sink of another day did."""
    part = roles.folder.open(ColumnSchema(("captions",)))
    part.append([of_shard(caption(n), shard) for n in numbers])
    part.prepare()
    part.publish()


def of_shard(made: Caption, shard: str) -> Caption:
    sample = replace(made.sample, id=sample_id(shard, made.sample.id), shard=shard)
    return replace(made, sample=sample)


async def settle(roles: Roles, source: Source) -> None:
    """Bring all samples of a source into parts or dead letters."""
    feeder = roles.feeder(source)
    worker = await roles.worker(CountingEngine())
    sink = roles.sink()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(feeder.run())
        await until(lambda: plan_is_done(roles))
        group.create_task(worker.run())
        group.create_task(sink.run())


async def plan_is_done(roles: Roles) -> bool:
    return (await roles.counts()).plan_done


class Listing:
    """A source of pictures in a folder, for tests that change how it lists them."""

    def __init__(self, root: Path) -> None:
        self._source = folder_source(root)
        self.dataset = self._source.dataset
        self.fingerprint = self._source.fingerprint
        self.size = self._source.size

    def shards(self, start: str | None = None) -> Iterator[str]:
        return self._source.shards(start)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        return self._source.names(shard, after)

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        return self._source.samples(shard, asked, fingerprint)


class Stopping(Listing):
    """A source that asks its planner to stop after some names."""

    def __init__(self, root: Path, drain: Drain, after: int) -> None:
        super().__init__(root)
        self._drain = drain
        self._left = after

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        for name in self._source.names(shard, after):
            yield name
            self._left -= 1
            if self._left == 0:
                self._drain.ask()
                raise StopPlanning


class StopPlanning(CaptionFlowError):
    """Thrown in the middle of a listing, as a process dies there."""


class Counting(Listing):
    """A source that asks its planner to drain once it has given some shards and names."""

    def __init__(self, root: Path, drain: Drain, after: int) -> None:
        super().__init__(root)
        self._drain = drain
        self._after = after
        self.given = 0

    def shards(self, start: str | None = None) -> Iterator[str]:
        return map(self._count, self._source.shards(start))

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        return map(self._count, self._source.names(shard, after))

    def _count(self, what: str) -> str:
        self.given += 1
        if self.given == self._after:
            self._drain.ask()
        return what


async def waiting(roles: Roles, chunks: int) -> bool:
    return bool(await roles.client.xlen(roles.job.lane.chunks) == chunks)


class Standing(Listing):
    """A source whose listing stands still until it is let go on, as on a disk that hangs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        self.reached.set()
        assert self.go_on.wait(20)
        yield from self._source.names(shard, after)


@asynccontextmanager
async def standing_planner(roles: Roles, root: Path) -> AsyncIterator[asyncio.Event]:
    """A planner that stands still, knowing what is known now, until the event is set."""
    source = Standing(root)
    go_on = asyncio.Event()
    async with running(roles.planner(source).run()) as planning:
        await until(source.reached.is_set)
        try:
            yield go_on
        finally:
            source.go_on.set()
        if go_on.is_set():
            await ends(planning)


async def plan_a_part(roles: Roles, root: Path, listed: int) -> None:
    """Plan so many names of the source, rounded down to whole chunks, and die."""
    with pytest.raises(StopPlanning):
        await roles.planner(Stopping(root, Drain(), after=listed + 1)).run()
