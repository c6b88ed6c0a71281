"""Epoch: it has another name whenever the server may have forgotten something."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from caption_flow.errors import QueueForgot
from caption_flow.queue.connect import connect
from tests.queue.shop import Shop, entries_of
from tests.redis_server import RedisServer


@pytest.fixture
async def own(own_server: RedisServer) -> AsyncIterator[Shop]:
    async with connect(own_server.url, role="test") as opened:
        yield Shop(opened)


def restart(server: RedisServer, folder: Path) -> None:  # noqa: ARG001 - as all accidents
    server.kill()
    server.start()


def flush(server: RedisServer, folder: Path) -> None:  # noqa: ARG001 - as all accidents
    server.cli("FLUSHALL")


def fail_over_and_back(server: RedisServer, folder: Path) -> None:
    """A replica that had not heard all is promoted, and hands its data back."""
    with RedisServer(folder / "replica") as replica:
        follow(replica, server)
        replica.cli("REPLICAOF", "NO", "ONE")
        follow(server, replica)
        server.cli("REPLICAOF", "NO", "ONE")


def follow(replica: RedisServer, primary: RedisServer) -> None:
    replica.cli("REPLICAOF", "127.0.0.1", primary.port)
    while "master_link_status:up" not in replica.cli("INFO", "replication"):
        pass


ACCIDENTS = [restart, flush, fail_over_and_back]


async def test_epoch_lasts_as_long_as_nothing_happens(own: Shop):
    assert await own.sink("one").epoch() == await own.sink("other").epoch()


@pytest.mark.parametrize("accident", ACCIDENTS)
async def test_epoch_ends_when_something_may_be_forgotten(
    own: Shop, own_server: RedisServer, tmp_path: Path, accident: Callable[..., None]
):
    before = await own.sink().epoch()
    accident(own_server, tmp_path)
    await own.redis.connection_pool.disconnect()

    assert await own.sink().epoch() != before


async def test_commit_of_another_epoch_changes_nothing(own: Shop, own_server: RedisServer):
    await own.caption(3)
    sink = own.sink()
    epoch = await sink.epoch()
    entries = entries_of(await sink.read(3))
    own_server.stop()
    own_server.start()
    await own.redis.connection_pool.disconnect()

    with pytest.raises(QueueForgot):
        await sink.commit("part", b"{}", entries, epoch=epoch)

    assert await own.job.parts() == set()
    assert await own.redis.xlen(own.lane.captions) == 3
    assert await sink.commit("part", b"{}", entries, epoch=await sink.epoch()) == []


async def test_commit_whose_answer_was_lost_is_known_in_any_epoch(own: Shop):
    await own.caption(3)
    sink = own.sink()
    entries = entries_of(await sink.read(3))
    await sink.commit("part", b"{}", entries, epoch=await sink.epoch())

    assert await sink.commit("part", b"{}", entries, epoch="another") == []
