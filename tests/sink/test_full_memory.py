"""A full Redis that has forgotten parts and cannot record them: sinks know their samples."""

import pytest

from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import StorageBlocked
from caption_flow.sink.recovery import Recovery
from tests.redis_server import RedisServer
from tests.roles import Roles
from tests.sink.test_forgetting import NAMES, forget_a_part, roles, server

__all__ = ["roles", "server"]


async def begin_an_epoch(roles: Roles, server: RedisServer) -> None:
    """As when a part loses rows."""
    server.cli("CONFIG", "SET", "maxmemory", 0)
    await roles.client.set(roles.job.lane.epoch, "another")
    server.cli("CONFIG", "SET", "maxmemory", 1)


async def test_what_is_not_recorded_yet_is_read_once(
    roles: Roles, server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    await forget_a_part(roles)
    server.cli("CONFIG", "SET", "maxmemory", 1)
    recovery = Recovery(roles.caption_queue(), roles.folder)
    await recovery.run()
    await begin_an_epoch(roles, server)
    monkeypatch.delattr(PartFolder, "ids")

    await recovery.run()

    assert recovery.doubles(NAMES) == set(NAMES[:3])


async def test_disk_that_goes_away_while_parts_are_read_takes_nothing_that_is_known(
    roles: Roles, server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    part = await forget_a_part(roles)
    server.cli("CONFIG", "SET", "maxmemory", 1)
    recovery = Recovery(roles.caption_queue(), roles.folder)
    await recovery.run()
    await begin_an_epoch(roles, server)
    another = roles.folder.file("part-another")
    another.write_bytes(roles.folder.file(part).read_bytes())

    def blocked(*_: object) -> list[str]:
        raise StorageBlocked("The disk is away.")

    with monkeypatch.context() as patched:
        patched.setattr(PartFolder, "ids", blocked)
        for _ in range(2):
            with pytest.raises(StorageBlocked):
                await recovery.run()
            assert recovery.doubles(NAMES) == set(NAMES[:3])
    server.cli("CONFIG", "SET", "maxmemory", 0)
    await recovery.run()

    assert await roles.job.parts() == {part, "part-another"}
