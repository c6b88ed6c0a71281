"""Fixtures for all tests: a real Redis, empty at the start of each test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from caption_flow.queue.connect import Connections, connect
from tests.redis_server import RedisServer
from tests.schedule import Schedule, rank


def pytest_configure(config: pytest.Config) -> None:
    """Keep what vLLM notes of the architectures of models, which takes it a process each.

    Else it would look for that in the home of each test, and find nothing.
    """
    os.environ["VLLM_CACHE_ROOT"] = str(config.cache.mkdir("vllm"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let what takes long begin first, where tests run beside each other."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule | None:
    """Share tests out in our way, where whole files are asked for."""
    return Schedule(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server all tests share; whoever stops or reconfigures one takes `own_server`."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of the shared server, emptied."""
    redis_server.cli("FLUSHALL")
    return redis_server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone: to kill, fill or reconfigure."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Connections]:
    """Connections to the shared server, emptied."""
    async with connect(redis_url, role="test") as opened:
        yield opened
