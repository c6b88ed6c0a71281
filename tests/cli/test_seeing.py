"""A job whose roles are children of one process: what that process says it does."""

import asyncio

from caption_flow.cli.local import _Seeing
from caption_flow.cli.telling import Teller
from caption_flow.lifecycle import Drain
from caption_flow.metrics.vitals import Vitals
from caption_flow.model import Counts
from caption_flow.queue.ports import Snapshot


def test_process_of_a_job_says_nothing_of_it_before_its_roles_have_begun():
    async def states() -> list[str]:
        drain, teller, vitals = Drain(), Teller("run", None), Vitals("run")
        teller.follow(drain)
        seeing = _Seeing(teller, vitals, lambda _: None, lambda: None)
        found = []
        for paused, before in (
            (True, lambda: None),
            (True, seeing.begin),
            (False, lambda: None),
            (True, drain.ask),
        ):
            before()
            seeing.see(Snapshot(1.0, Counts(), paused=paused))
            found.append(vitals.state)
        return found

    assert asyncio.run(states()) == ["starting", "paused", "working", "draining"]
