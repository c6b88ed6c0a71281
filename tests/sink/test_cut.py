"""Cut short: a sink that must go leaves no part open, whatever a thread does with it just then."""

import asyncio

import pytest

from tests.roles import Roles, ends, until
from tests.sink.steps import STEPS, Hold, SteppingFolder


@pytest.mark.parametrize("step", STEPS[: STEPS.index("prepared") + 1])
async def test_part_is_closed_and_its_captions_are_written_once(roles: Roles, step: str):
    await roles.finish(range(5))
    hold, sound = Hold(step), roles.folder
    roles.folder = SteppingFolder(sound.path.parent, sound.path.name, hold)
    cut = asyncio.create_task(roles.sink().run())
    await until(lambda: hold.reached)
    cut.cancel()
    await asyncio.sleep(0)
    cut.cancel()
    await asyncio.wait([cut], timeout=0.02)
    assert not cut.done()  # a thread has the part
    hold.let_go()
    with pytest.raises(asyncio.CancelledError):
        await cut

    [left] = sound.abandoned()  # nobody has it locked
    left.close()
    await roles.expire_captions()
    roles.folder = sound
    await ends(roles.sink().run())

    assert sorted(row["id"] for row in roles.rows()) == [f"{n:05}.jpg" for n in range(5)]
