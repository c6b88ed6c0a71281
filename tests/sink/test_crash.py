"""Crash: between any two steps of a sink, and of the server, no row is lost or doubled."""

from collections.abc import Callable, Iterator

import pytest

from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.sink.recovery import Recovery
from tests.made import jpeg, outcome
from tests.roles import (
    Roles,
    ends,
    kill,
    running,
    until,
)
from tests.sink.crash import Crash, CrashingQueue, MortalFolder
from tests.sink.steps import Hold, SteppingFolder

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


async def test_a_sink_ends_the_job_with_what_a_dead_one_has_recorded(
    roles: Roles, mortal: list[MortalFolder]
):
    """It has looked around before that one died, and needs not look again for a while."""
    await roles.finish(range(6))
    await roles.offer([jpeg(999)], first=999)
    hold, dying = Hold("published"), MortalFolder(roles, before_publish=True)
    mortal.append(dying)
    roles.folder = SteppingFolder(dying.path.parent, dying.path.name, hold)
    async with running(roles.sink(rows=6).run()) as living:
        await until(lambda: hold.reached)
        await roles.finish_waiting()
        roles.folder = dying
        with pytest.raises(Crash):
            await ends(roles.sink().run())
        dying.die()
        hold.let_go()
        await ends(living)

    assert ids(roles) == [*NAMES, "00999.jpg"]
    assert list(dying.path.glob(".*")) == []


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


async def _recover_only(roles: Roles) -> None:
    await Recovery(roles.caption_queue(), roles.folder).run()


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
    await worker.complete([(lease, (outcome(),)) for lease in leases])

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
