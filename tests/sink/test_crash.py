"""Crash: between any two steps of a sink, and of the server, no row is lost or doubled."""

from collections.abc import Callable, Iterator

import pytest

from caption_flow.dataset.parts import PartFolder
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.sink import sink as sinking
from caption_flow.sink.recovery import Recovery
from tests.roles import Roles, ends, jpeg, kill, outcome, running, until
from tests.sink.crash import Crash, CrashingQueue, ForgettingQueue, MortalFolder, Snapshot

NAMES = [f"{n:05}.jpg" for n in range(6)]

Steps = tuple[Callable[[Roles], MortalFolder], Callable[[Roles], RedisCaptionQueue]]

STEPS: dict[str, Steps] = {
    "before the commit": (MortalFolder, lambda roles: CrashingQueue(roles, before=True)),
    "after the commit": (MortalFolder, lambda roles: CrashingQueue(roles, after=True)),
    "before the rename": (
        lambda roles: MortalFolder(roles, before_publish=True),
        CrashingQueue,
    ),
    "after the rename": (
        lambda roles: MortalFolder(roles, after=True),
        CrashingQueue,
    ),
}


@pytest.fixture
def mortal() -> Iterator[list[MortalFolder]]:
    """Folders of sinks that died; closed when the test is over."""
    folders: list[MortalFolder] = []
    yield folders
    for folder in folders:
        folder.bury()


def ids(roles: Roles) -> list[str]:
    return sorted(row["id"] for row in roles.rows())


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_loses_and_doubles_nothing(
    roles: Roles, mortal: list[MortalFolder], step: str
):
    make_folder, make_queue = STEPS[step]
    await roles.finish(range(6))
    sound = roles.folder
    folder = make_folder(roles)
    mortal.append(folder)
    roles.folder = folder
    with pytest.raises(Crash):
        await ends(roles.sink(queue=make_queue(roles)).run())
    folder.die()
    await roles.expire_captions()

    roles.folder = sound
    await ends(roles.sink().run())

    assert ids(roles) == NAMES
    assert (await roles.counts()).captioned == 6
    assert list(sound.path.glob(".*")) == []


async def test_a_crash_while_a_part_is_open_loses_and_doubles_nothing(
    roles: Roles, mortal: list[MortalFolder]
):
    await roles.finish(range(6))
    await roles.offer([jpeg(999)], first=999)
    sound = roles.folder
    folder = MortalFolder(roles)
    mortal.append(folder)
    roles.folder = folder
    async with running(roles.sink().run()) as task:
        await until(lambda: folder.opened and len(folder.opened[0].entries) == 6)
        await kill(task)
    folder.die()
    await roles.expire_captions()

    roles.folder = sound
    await roles.finish_waiting()
    await ends(roles.sink().run())

    assert ids(roles) == [*NAMES, "00999.jpg"]
    assert (await roles.counts()).captioned == 7


@pytest.mark.parametrize("recover_seconds", [0.0, 1000.0])
async def test_a_part_that_redis_forgot_is_recorded_and_its_captions_are_dropped(
    roles: Roles, monkeypatch: pytest.MonkeyPatch, recover_seconds: float
):
    """Whether the sink looks around before or after it reads them again."""
    monkeypatch.setattr(sinking, "RECOVER_SECONDS", recover_seconds)
    await roles.finish(range(6))
    snapshot = Snapshot(roles)
    await snapshot.take()
    queue = ForgettingQueue(roles, snapshot)
    async with running(roles.sink(queue=queue, exit_when_done=False).run()):
        await until(lambda: _captioned(roles, 6))
        await until(roles.folder.published)
        queue.goes_now = True
        await until(lambda: queue.is_back)
        await until(lambda: _captioned(roles, 6))
        await until(lambda: not list(roles.folder.path.glob(".*")))

    assert ids(roles) == NAMES
    assert await roles.job.parts() == set(roles.folder.published())


async def _captioned(roles: Roles, count: int) -> bool:
    return (await roles.counts()).captioned == count


class SlowerQueue(ForgettingQueue):
    """Another sink is back before this one, and records what Redis has forgotten."""

    folder: PartFolder

    async def others_are_quicker(self) -> None:
        await Recovery(self, self.folder).run(doubt=True)
        assert await self.parts() == set(self.folder.published())


async def test_captions_of_a_part_that_another_sink_recorded_again_are_dropped(roles: Roles):
    await roles.finish(range(6))
    snapshot = Snapshot(roles)
    await snapshot.take()
    queue = SlowerQueue(roles, snapshot)
    queue.folder = roles.folder
    async with running(roles.sink(queue=queue, exit_when_done=False).run()):
        await until(lambda: _captioned(roles, 6))
        await until(roles.folder.published)
        queue.goes_now = True
        await until(lambda: queue.is_back)
        await until(lambda: _captioned(roles, 6))
        await until(lambda: not list(roles.folder.path.glob(".*")))

    assert ids(roles) == NAMES


async def _recover_only(roles: Roles) -> None:
    await Recovery(roles.caption_queue(), roles.folder).run(doubt=True)


async def test_captions_of_a_forgotten_part_are_dropped_by_a_sink_that_starts_later(
    roles: Roles,
):
    await roles.finish(range(6))
    snapshot = Snapshot(roles)
    await snapshot.take()
    await ends(roles.sink().run())
    await snapshot.restore()
    await _recover_only(roles)

    await ends(roles.sink().run())

    assert ids(roles) == NAMES
    assert (await roles.counts()).done


async def test_with_redis_emptied_the_parts_are_recorded_again(roles: Roles):
    await roles.finish(range(6))
    await ends(roles.sink(rows=2).run())
    await roles.client.flushall()
    await roles.finish(range(10, 12))

    await ends(roles.sink().run())

    assert ids(roles) == [*NAMES, "00010.jpg", "00011.jpg"]
    assert await roles.job.parts() == set(roles.folder.published())


async def test_a_sample_captioned_again_after_redis_forgot_its_completion_is_written_once(
    roles: Roles,
):
    """The captions were not in the snapshot at all: workers make them a second time."""
    await roles.finish(range(6))
    await ends(roles.sink().run())
    await roles.client.flushall()
    await roles.offer([jpeg(n) for n in range(6)])
    worker = await roles.work_queue()
    leases = await worker.claim(6)
    await worker.complete([(lease, outcome()) for lease in leases])

    await ends(roles.sink().run())

    assert ids(roles) == NAMES
    assert (await roles.counts()).done


async def test_the_part_of_a_living_sink_is_left_alone(roles: Roles):
    await roles.finish(range(6))
    await roles.offer([jpeg(999)], first=999)
    async with running(roles.sink(exit_when_done=False).run()):
        await until(lambda: _is_open(roles))
        [theirs] = roles.folder.path.glob(".part-*")

        await _recover_only(roles)

        assert theirs.exists()


def _is_open(roles: Roles) -> bool:
    assert isinstance(roles.folder, MortalFolder)
    return any(part.entries for part in roles.folder.opened)
