"""Pause: a feeder plans on and offers nothing, until the job goes on."""

from pathlib import Path

from caption_flow.lifecycle import Drain
from tests.made import folder_source, pictures
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)


async def test_nothing_is_offered_in_a_pause(roles: Roles, tmp_path: Path):
    paused = [True]
    source = folder_source(pictures(tmp_path / "in", range(12)))
    feeder = roles.feeder(source, paused=lambda: paused[0])
    async with running(feeder.run()) as feeding:
        await until(lambda: _is_planned(roles))
        in_pause = await roles.waiting()
        paused[0] = False
        await ends(feeding)

    assert in_pause == []
    assert len(await roles.waiting()) == 12


async def test_feeder_ends_in_a_pause(roles: Roles, tmp_path: Path):
    drain = Drain()
    source = folder_source(pictures(tmp_path / "in", range(12)))
    feeder = roles.feeder(source, drain=drain, paused=lambda: True)
    async with running(feeder.run()) as feeding:
        await until(lambda: _is_planned(roles))
        drain.ask()
        await ends(feeding)

    counts = await roles.counts()
    assert (counts.planned, counts.in_chunks) == (12, 12)


async def _is_planned(roles: Roles) -> bool:
    return (await roles.counts()).plan_done
