"""A sample that kills feeders is found and given up; whatever else ends feeders harms no sample."""

import asyncio
import signal
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caption_flow.errors import SourceError
from caption_flow.feed.alone import CAUTIOUS_FROM, MOST_LOOKS
from caption_flow.feed.look import offers
from caption_flow.lifecycle import Drain
from caption_flow.model import Listed, Raw
from tests.made import PATIENCE, folder_source, pictures
from tests.queue.ledger import read_ledger
from tests.roles import (
    AMPLE,
    Roles,
    ends,
    running,
    until,
)

ROOT = Path(__file__).parents[2]
OFTEN = CAUTIOUS_FROM + MOST_LOOKS + 1  # so often a feeder must be able to end, and harm nothing


def names(count: int) -> list[str]:
    return [f"{n:05}.jpg" for n in range(count)]


@asynccontextmanager
async def feeder(
    url: str, folder: Path, killer: str = "", room: int = 1000
) -> AsyncIterator[Process]:
    """A feeder in a process of its own; what is left of it is killed."""
    module = (sys.executable, "-m", "tests.feed.dying")
    arguments = (url, str(folder), killer, str(room))
    process = await asyncio.create_subprocess_exec(*module, *arguments, stdout=PIPE, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def feed(url: str, folder: Path, killer: str = "") -> int:
    """Feed until the feeder's end; answers its exit code."""
    async with asyncio.timeout(PATIENCE), feeder(url, folder, killer) as process:
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def feed_until_all_is_fed(roles: Roles, url: str, folder: Path, killer: str) -> int:
    """Start a feeder whenever one died; answers how many did."""
    for deaths in range(20):
        code = await feed(url, folder, killer)
        if code == 0:
            return deaths
        assert code == -signal.SIGKILL
        await roles.expire_chunks()
    raise AssertionError("feeders die for ever")


async def test_sample_that_kills_feeders_is_one_dead_letter_and_its_neighbours_are_fed(
    roles: Roles, redis_url: str, tmp_path: Path
):
    pictures(tmp_path / "in", range(12))

    deaths = await feed_until_all_is_fed(roles, redis_url, tmp_path, "00005.jpg")

    [letter] = (await roles.dead()).values()
    assert (letter.sample.id, letter.failure.reason) == ("00005.jpg", "feeder_died")
    assert await roles.waiting() == [name for name in names(12) if name != "00005.jpg"]
    assert deaths == CAUTIOUS_FROM - 1 + MOST_LOOKS
    (await read_ledger(roles.job, ("caption",))).check()
    assert set(await roles.client.hkeys(roles.job.lane.cursors)) == {b"plan", b"images"}


async def test_sample_that_waits_for_room_while_feeders_are_killed_is_fed(
    roles: Roles, redis_url: str, tmp_path: Path
):
    """It was looked at, alone, by each of them, and none died of it."""
    root = pictures(tmp_path / "in", range(8))
    await ends(roles.planner(folder_source(root)).run())
    await offer_a_chunk(roles, root)
    for _ in range(OFTEN):
        async with asyncio.timeout(PATIENCE), feeder(redis_url, tmp_path, room=6) as process:
            await says(process, "00006.jpg")
            await until(lambda: _nobody_looks_alone(roles))
        await roles.expire_chunks()

    assert await feed(redis_url, tmp_path) == 0

    assert await roles.dead() == {}
    assert await roles.waiting() == names(8)


async def offer_a_chunk(roles: Roles, root: Path) -> None:
    queue = roles.feed_queue()
    lease = await queue.claim_chunk()
    assert lease is not None
    [batch] = offers(folder_source(root), lease.chunk, lease.chunk.listed(), roles.told.images)
    await queue.offer(lease, batch, AMPLE)


async def says(process: Process, name: str) -> None:
    """Wait until a feeder has looked at a sample."""
    assert process.stdout is not None
    while (line := (await process.stdout.readline()).decode().strip()) != name:
        assert line, "the feeder ended"


async def _nobody_looks_alone(roles: Roles) -> bool:
    fields = await roles.client.hkeys(roles.job.lane.cursors)
    return not any(field.endswith(b":looks") for field in fields)


class Failing:
    """A source that cannot read one sample, and says that it is no fault of the sample."""

    def __init__(self, root: Path, name: str) -> None:
        self._source = folder_source(root)
        self.dataset = self._source.dataset
        self.fingerprint = self._source.fingerprint
        self.size = self._source.size
        self.shards = self._source.shards
        self.names = self._source.names
        self._name = name

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        for raw in self._source.samples(shard, asked, fingerprint):
            if raw.id == self._name:
                raise SourceError("The disk is gone.")
            yield raw


async def test_sample_over_which_sources_fail_is_fed_when_they_do_no_more(
    roles: Roles, tmp_path: Path
):
    """A feeder that ends with an error did not die of what it looked at."""
    root = pictures(tmp_path / "in", range(12))
    for _ in range(OFTEN):
        with pytest.raises(SourceError):
            await ends(roles.feeder(Failing(root, "00005.jpg")).run())
        await roles.expire_chunks()

    await ends(roles.feeder(folder_source(root)).run())

    assert await roles.dead() == {}
    assert await roles.waiting() == names(12)


class Hanging:
    """A source that hangs at a sample until it is let go on."""

    def __init__(self, root: Path) -> None:
        self._source = folder_source(root)
        self.dataset = self._source.dataset
        self.fingerprint = self._source.fingerprint
        self.size = self._source.size
        self.shards = self._source.shards
        self.names = self._source.names
        self.hangs = threading.Event()
        self.go_on = threading.Event()

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        self.hangs.set()
        assert self.go_on.wait(PATIENCE)
        yield from self._source.samples(shard, asked, fingerprint)


async def make_suspect(roles: Roles) -> None:
    """Let a chunk be given out so often that the next feeder is cautious."""
    for number in range(CAUTIOUS_FROM - 1):
        lease = await roles.feed_queue(f"dead-{number}").claim_chunk()
        assert lease is not None
        await roles.expire_chunks()


async def test_feeder_that_is_asked_to_end_while_a_disk_hangs_blames_no_sample(
    roles: Roles, tmp_path: Path
):
    """Whoever asks it may soon lose patience, and kill it."""
    root = pictures(tmp_path / "in", range(2))
    await ends(roles.planner(folder_source(root)).run())
    await make_suspect(roles)
    source, drain = Hanging(root), Drain()
    async with running(roles.feeder(source, drain=drain).run()) as feeding:
        await until(source.hangs.is_set)
        assert not await _nobody_looks_alone(roles)
        drain.ask()
        await until(lambda: _nobody_looks_alone(roles))
        source.go_on.set()
        await ends(feeding)


class Watching(Hanging):
    """A source that hangs at whole chunks, and notes when one is read beside a sample alone."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._read: list[int] = []  # how many samples were asked for by who reads now
        self.beside = False

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        self._read.append(len(asked))
        time.sleep(0.01)  # long enough to meet another
        if len(asked) > 1:
            yield from super().samples(shard, asked, fingerprint)
        else:
            yield from self._source.samples(shard, asked, fingerprint)
        self.beside = self.beside or (len(self._read) > 1 and 1 in self._read)
        self._read.remove(len(asked))


@pytest.mark.parametrize("first", ["a suspect", "another"])
async def test_nothing_else_is_looked_at_while_a_sample_is_alone(
    roles: Roles, tmp_path: Path, first: str
):
    """Else that might be what the feeder dies of."""
    root = pictures(tmp_path / "in", range(8))
    source = Watching(root)
    await ends(roles.planner(source).run())
    await make_suspect(roles)
    if first == "another":
        await roles.feed_queue("dead").claim_chunk()
    async with running(roles.feeder(source, queue=roles.feed_queue("feeds")).run()) as feeding:
        await until(source.hangs.is_set)
        await roles.expire_chunks()
        await until(lambda: _holds_all_that_is_left(roles))
        source.go_on.set()
        await ends(feeding)

    assert not source.beside
    assert await roles.waiting() == names(8)


async def _holds_all_that_is_left(roles: Roles) -> bool:
    stream = roles.job.lane.chunks
    rows = await roles.client.xpending_range(stream, "feeders", "-", "+", 9)
    return all(row["consumer"] == b"feeds" for row in rows)
