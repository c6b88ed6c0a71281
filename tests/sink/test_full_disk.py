"""Full disk: a sink that cannot write waits, says so, and goes on; nothing is acked meanwhile."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caption_flow.dataset import open_part
from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import StorageBlocked, StorageUnfit
from caption_flow.lifecycle import Drain
from caption_flow.model import EntryId
from caption_flow.patience import Patience
from caption_flow.queue import keys
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.sink.records import record
from caption_flow.sink.recovery import Recovery
from caption_flow.sink.sink import Sink
from tests.made import LEASE, caption
from tests.roles import (
    JOB,
    Roles,
    ends,
    running,
    until,
)
from tests.sink.disks import Disk, mounted
from tests.sink.steps import Hold, SteppingFolder, SteppingQueue

NAMES = [f"{n:05}.jpg" for n in range(6)]
FULL = "No space left in {}. Free some; nothing is lost. Next try in "

Hindrance = Callable[[Disk], None]
HINDRANCES: dict[str, Hindrance] = {
    "no space": Disk.fill,
    "too little space": lambda disk: disk.fill(leave=4096),
    "no more files": Disk.fill_with_files,
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as small:
        yield small


@pytest.fixture
def roles(roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture) -> Roles:
    """With a folder on the small disk."""
    caplog.set_level(logging.INFO)
    roles.folder = PartFolder(disk.path, JOB)
    return roles


@asynccontextmanager
async def at_work(roles: Roles, sink: Sink) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a sink, that has begun and found nothing yet."""
    async with running(sink.run()) as task:
        await until(lambda: _reads(roles))
        yield task


async def _reads(roles: Roles) -> bool:
    return bool((await roles.client.info("clients"))["blocked_clients"])


async def waits(roles: Roles, caplog: pytest.LogCaptureFixture) -> None:
    """Wait until a sink has said twice what it waits for."""
    await until(lambda: caplog.text.count(FULL.format(roles.folder.path)) >= 2)


async def holders(roles: Roles) -> set[tuple[bytes, int]]:
    """Who holds the captions in the queue, and how often they were delivered."""
    stream = roles.job.lane.captions
    rows = await roles.client.xpending_range(stream, keys.SINKS, "-", "+", 100)
    return {(row["consumer"], row["times_delivered"]) for row in rows}


def check(roles: Roles) -> None:
    """All rows once, and nothing left over."""
    assert sorted(row["id"] for row in roles.rows()) == NAMES
    assert list(roles.folder.path.glob(".*")) == []


@pytest.mark.parametrize("rows_per_group", [1, 5000], ids=["appending", "preparing"])
@pytest.mark.parametrize("hindrance", HINDRANCES.values(), ids=HINDRANCES)
async def test_a_full_disk_is_waited_for_and_nothing_is_acked(  # noqa: PLR0917 - fixtures
    roles: Roles,
    disk: Disk,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    hindrance: Hindrance,
    rows_per_group: int,
):
    monkeypatch.setattr(open_part, "ROWS_PER_GROUP", rows_per_group)
    async with at_work(roles, roles.sink()) as sinking:
        hindrance(disk)
        await roles.finish(range(len(NAMES)))
        await waits(roles, caplog)

        assert len(await roles.captions()) == len(NAMES)
        assert await holders(roles) == {(keys.RETURNED.encode(), 0)}
        assert (await roles.counts()).captioned == 0
        assert list(roles.folder.path.glob("part-*")) == []

        disk.free()
        await ends(sinking)

    check(roles)
    assert "Error" not in caplog.text


async def test_a_disk_that_is_full_from_the_start_is_waited_for(
    roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture
):
    await roles.finish(range(len(NAMES)))
    disk.fill()
    async with running(roles.sink().run()) as sinking:
        await waits(roles, caplog)
        disk.free()
        await ends(sinking)

    check(roles)


async def test_space_for_less_than_what_was_refused_is_none(roles: Roles, disk: Disk):
    roles.folder.make()
    disk.fill(leave=200_000)

    roles.folder.try_out(100_000)
    with pytest.raises(StorageBlocked):
        roles.folder.try_out(200_000)

    assert list(roles.folder.path.iterdir()) == []


async def test_a_sink_with_space_takes_over_from_one_without(
    roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    async with at_work(roles, roles.sink()) as waiting:
        disk.fill()
        await roles.finish(range(len(NAMES)))
        await waits(roles, caplog)
        roles.folder = PartFolder(tmp_path / "elsewhere", JOB)

        await ends(roles.sink().run())

        check(roles)
        disk.free()
        await ends(waiting)


async def test_a_sink_that_waits_for_space_ends_at_once_when_asked(
    roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture
):
    drain = Drain()
    async with at_work(roles, roles.sink(drain=drain)) as sinking:
        disk.fill()
        await roles.finish(range(len(NAMES)))
        await waits(roles, caplog)
        drain.ask()
        await ends(sinking)

    assert await holders(roles) == {(keys.RETURNED.encode(), 0)}
    assert list(roles.folder.path.iterdir()) == []


class RobbedQueue(RedisCaptionQueue):
    """Another sink takes a caption, and all that the disk has room for, before a commit."""

    def __init__(self, roles: Roles, disk: Disk) -> None:
        super().__init__(roles.job, name="robbed", lease_seconds=LEASE)
        self._disk: Disk | None = disk

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        if self._disk is not None:
            await self.client.xclaim(self.lane.captions, keys.SINKS, "thief", 0, entries[:1])
            self._disk.fill_with_files()
            self._disk = None
        return await super().commit(part, record, entries, epoch=epoch)


async def test_a_part_that_cannot_be_written_without_what_was_lost_is_given_up(
    roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture
):
    async with at_work(roles, roles.sink(queue=RobbedQueue(roles, disk))) as sinking:
        await roles.finish(range(len(NAMES)))
        # Once only: there is room for another when the part is deleted.
        await until(lambda: FULL.format(roles.folder.path) in caplog.text)
        await roles.expire_captions()
        await ends(sinking)

    check(roles)


async def test_a_recorded_part_of_a_dead_sink_is_published_when_the_disk_allows_it(
    roles: Roles, disk: Disk, caplog: pytest.LogCaptureFixture
):
    part = roles.folder.open(ColumnSchema(("captions",)))
    part.append([caption(n) for n in range(len(NAMES))])
    part.prepare()
    part.abandon()
    await roles.client.hset(roles.job.lane.parts, part.name, record(len(NAMES), {}))
    disk.forbid_writing()
    recovery, patience = Recovery(roles.caption_queue(), roles.folder), Patience(Drain())
    async with running(patience(recovery.run)) as recovering:
        await until(lambda: "is on a disk that is read-only. Mount it for writing" in caplog.text)
        disk.allow_writing()
        await ends(recovering)

    check(roles)


# What vanishes


@asynccontextmanager
async def held_at(
    roles: Roles, step: str, drain: Drain | None = None
) -> AsyncIterator[tuple[Hold, "asyncio.Task[None]"]]:
    """Run a sink until it has done a step."""
    hold = Hold(step)
    roles.folder = SteppingFolder(roles.folder.path.parent, JOB, hold)
    queue = SteppingQueue(roles.job, "held", hold)
    await roles.finish(range(len(NAMES)))
    async with running(roles.sink(queue=queue, drain=drain).run()) as sinking:
        await until(lambda: hold.reached)
        yield hold, sinking


@pytest.mark.parametrize("step", ["opened", "appended", "written", "prepared", "committed"])
async def test_a_folder_that_is_gone_for_a_while_is_waited_for(
    roles: Roles, caplog: pytest.LogCaptureFixture, step: str
):
    away = roles.folder.path.with_name("away")
    async with held_at(roles, step) as (hold, sinking):
        roles.folder.path.rename(away)
        hold.let_go()
        await until(lambda: f"{roles.folder.path} is gone. Bring it back" in caplog.text)
        away.rename(roles.folder.path)
        await ends(sinking)

    check(roles)


@pytest.mark.parametrize("step", ["opened", "appended", "written", "committed"])
async def test_a_hidden_file_that_somebody_deletes_is_written_again(roles: Roles, step: str):
    """To make room, perhaps."""
    async with held_at(roles, step) as (hold, sinking):
        [hidden] = roles.folder.path.glob(".*")
        hidden.unlink()
        hold.let_go()
        await ends(sinking)

    check(roles)


async def test_a_recorded_part_that_cannot_be_published_is_left_to_the_next_sink(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    away, drain = roles.folder.path.with_name("away"), Drain()
    async with held_at(roles, "committed", drain) as (hold, sinking):
        roles.folder.path.rename(away)
        hold.let_go()
        await until(lambda: f"{roles.folder.path} is gone. Bring it back" in caplog.text)
        drain.ask()
        await ends(sinking)
    away.rename(roles.folder.path)
    assert roles.folder.published() == []

    await ends(roles.sink().run())

    check(roles)


# What is wrong from the start


def _read_only(disk: Disk) -> str:
    disk.forbid_writing()
    return f"{disk.path / JOB} is on a disk that is read-only"


def _file_in_its_place(disk: Disk) -> str:
    (disk.path / JOB).touch()
    return f"{disk.path / JOB} is a file"


@pytest.mark.parametrize("mistake", [_read_only, _file_in_its_place])
async def test_a_folder_that_cannot_be_written_to_at_all_is_a_mistake(
    roles: Roles, disk: Disk, mistake: Callable[[Disk], str]
):
    sentence = mistake(disk)

    with pytest.raises(StorageUnfit, match=f"^{sentence}.*set storage.data_dir to another folder"):
        await ends(roles.sink().run())


async def test_a_part_larger_than_any_file_may_be_is_a_mistake(roles: Roles):
    await roles.finish(range(len(NAMES)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    hold = Hold("opened")
    roles.folder = SteppingFolder(roles.folder.path.parent, JOB, hold)
    async with running(roles.sink().run()) as sinking:
        await until(lambda: hold.reached)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            hold.let_go()
            with pytest.raises(StorageUnfit, match="Lower storage"):
                await ends(sinking)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
