"""Fixtures for the proxy."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from caption_flow.config.vllm import Stage
from caption_flow.queue.connect import Connections
from tests.made import settings
from tests.proxy.client import RawClient
from tests.proxy.house import PATIENT, House, house, publish
from tests.roles import Roles, brisk, roles

__all__ = ["brisk", "roles"]


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the proxy look more often than it does where nobody waits for it."""
    monkeypatch.setattr("caption_flow.proxy.view.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("caption_flow.proxy.line.TICK_SECONDS", 0.05)
    monkeypatch.setattr("caption_flow.queue.news.BLOCK_MS", 50)


@pytest.fixture(autouse=True)
async def parting() -> AsyncIterator[None]:
    """Let no client of a test outlive it."""
    yield
    while RawClient.opened:
        RawClient.opened.pop().cut()
    await asyncio.sleep(0)


@pytest.fixture
async def home(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """A proxy of a job that has settings."""
    await publish(roles)
    async with house(connections, roles) as opened:
        yield opened


@pytest.fixture
async def patient(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """A proxy that waits long for who was cut off."""
    await publish(roles)
    async with house(connections, roles, config=PATIENT) as opened:
        yield opened


@pytest.fixture
async def two_stages(connections: Connections, tmp_path: Path) -> Roles:
    """A job with the stages "look" and "tell"."""
    told = settings(stages=(Stage("look", "", ("L",)), Stage("tell", "", ("T",))))
    made = Roles(connections, tmp_path, told)
    await publish(made)
    return made


@pytest.fixture
async def staged(connections: Connections, two_stages: Roles) -> AsyncIterator[House]:
    """A proxy of that job."""
    async with house(connections, two_stages) as opened:
        yield opened
