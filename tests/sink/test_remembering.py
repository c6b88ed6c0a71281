"""Remembering: where Redis has forgotten nothing, a look costs nothing."""

import pytest

from caption_flow.dataset.parts import PartFolder
from caption_flow.sink.recovery import Recovery
from tests.roles import (
    Roles,
    brisk,
    ends,
    roles,
)

__all__ = ["brisk", "roles"]

NAMES = [f"{n:05}.jpg" for n in range(6)]


async def test_a_look_reads_no_part_while_redis_remembers_all(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    await roles.finish(range(3))
    await ends(roles.sink().run())
    recovery = Recovery(roles.caption_queue(), roles.folder)
    await recovery.run()
    monkeypatch.delattr(PartFolder, "published")
    monkeypatch.delattr(PartFolder, "ids")

    await recovery.run()
    await recovery.make_sure("another", NAMES)
