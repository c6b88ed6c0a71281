"""Compact, killed between each two of its steps: all rows are there, once, whoever goes on."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caption_flow.audit.compact import Compacted, Compaction
from caption_flow.audit.registers import FolderRegister, QueueRegister
from caption_flow.dataset.known import known_in
from caption_flow.sink.records import read_record
from caption_flow.sink.recovery import Recovery
from tests.audit.dying import STEPS, Order
from tests.audit.office import Office
from tests.roles import JOB

ROOT = Path(__file__).parents[2]
ROWS = 6  # of three parts
OF_QUEUE = "recorded"  # a step that only who asks a queue takes


@pytest.fixture(scope="module")
def nursery() -> Iterator[Callable[[Order], int]]:
    """Brings up one process after another, each to its death."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.audit.dying"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def live(order: Order) -> int:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield live
    process.stdin.close()
    process.stdout.close()
    process.wait(20)


class Merged:
    """A job of which three small parts are being merged."""

    def __init__(self, office: Office, url: str, live: Callable[[Order], int]) -> None:
        self.office = office
        self.roles = office.roles
        self.folder = office.roles.folder
        self._url = url
        self._live = live
        self._before: dict[str, Any] = {}

    async def begin(self) -> None:
        await self.office.plan()
        await self.office.offer(2)
        await self.office.caption(ROWS + 1)
        for _ in range(3):
            await self.office.part(ROWS // 3)
        self._before = await self._books()
        self._ids = self.office.captioned()
        assert len(self._ids) == ROWS

    def die_after(self, step: str, *, redis: bool = True) -> None:
        url = self._url if redis else ""
        order = Order(str(self.folder.path.parent), JOB, step, url)
        assert self._live(order) == -signal.SIGKILL

    async def _books(self) -> dict[str, Any]:
        lane = self.roles.job.lane
        hashes = (lane.counts, lane.contributors, lane.shards)
        return {key: await self.roles.client.hgetall(key) for key in hashes}

    # Who goes on

    async def a_sink(self) -> None:
        await Recovery(self.roles.caption_queue(), self.folder).run()

    async def compact(self) -> Compacted:
        register = QueueRegister(self.folder, self.roles.caption_queue())
        return await Compaction(self.folder, register, rows=100).run()

    async def compact_without_redis(self) -> Compacted:
        return await Compaction(self.folder, FolderRegister(self.folder), rows=100).run()

    # What must be so

    def check_rows(self) -> None:
        assert self.office.captioned() == self._ids

    async def check(self, *, books: bool = True) -> None:
        self.check_rows()
        records = await self.roles.caption_queue().records()
        assert sorted(records) == self.folder.published()
        assert sum(read_record(record).rows for record in records.values()) == ROWS
        if books:
            assert await self._books() == self._before
            assert (await self.office.look()).balanced

    async def check_end(self, **how: Any) -> None:
        await self.check(**how)
        assert len(self.folder.published()) == 1
        assert [path.name for path in self.folder.path.glob(".*")] == []


@pytest.fixture
async def merged(office: Office, redis_url: str, nursery: Callable[[Order], int]) -> Merged:
    made = Merged(office, redis_url, nursery)
    await made.begin()
    return made


@pytest.mark.parametrize("step", STEPS)
async def test_a_sink_finishes_what_was_begun(merged: Merged, step: str):
    merged.die_after(step)
    merged.check_rows()

    await merged.a_sink()

    await merged.check()
    assert (
        sorted(path.stem for path in merged.folder.path.glob("*.parquet"))
        == merged.folder.published()
    )
    await merged.compact()
    await merged.check_end()


@pytest.mark.parametrize("step", STEPS)
async def test_compact_finishes_what_was_begun(merged: Merged, step: str):
    merged.die_after(step)

    await merged.compact()

    await merged.check_end()


@pytest.mark.parametrize("step", STEPS)
async def test_redis_emptied_at_a_step(merged: Merged, step: str):
    """What stands in parts is known, and comes again to nobody."""
    merged.die_after(step)
    await merged.roles.client.flushall()
    recovery = Recovery(merged.roles.caption_queue(), merged.folder)
    await recovery.run()

    await merged.check(books=False)
    assert recovery.doubles(merged.office.ids()) == set(merged.office.captioned())
    await merged.compact()
    await merged.check_end(books=False)


async def set_back(merged: Merged, records: dict[str, bytes]) -> None:
    """Let Redis forget what was merged, and nothing else."""
    lane = merged.roles.job.lane
    await merged.roles.client.delete(lane.parts, lane.merged)
    await merged.roles.client.hset(lane.parts, mapping=records)


@pytest.mark.parametrize("step", STEPS)
async def test_redis_set_back_at_a_step(merged: Merged, step: str):
    records = await merged.roles.caption_queue().records()
    merged.die_after(step)
    await set_back(merged, records)
    assert len(known_in(merged.folder, records)) == ROWS  # as a feeder finds it
    recovery = Recovery(merged.roles.caption_queue(), merged.folder)

    await recovery.run()

    await merged.check()
    assert recovery.doubles(merged.office.ids()) == set()  # nothing was forgotten
    await merged.compact()
    await merged.check_end()


@pytest.mark.parametrize("step", [step for step in STEPS if step != OF_QUEUE])
@pytest.mark.parametrize("redis", [True, False])
async def test_merging_by_the_folder_alone(merged: Merged, step: str, *, redis: bool):
    """Redis, which still knows the parts as they were, comes up before or after the next merge."""
    merged.die_after(step, redis=False)
    merged.check_rows()

    if not redis:
        await merged.compact_without_redis()
        merged.check_rows()
    await merged.compact()

    await merged.check_end()


@pytest.mark.parametrize("step", STEPS)
async def test_merging_goes_on_by_the_folder_alone_while_redis_is_away(merged: Merged, step: str):
    merged.die_after(step)

    await merged.compact_without_redis()

    merged.check_rows()
    await merged.a_sink()
    await merged.check()
