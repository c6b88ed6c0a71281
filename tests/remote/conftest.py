"""Fixtures for the remote ports: a proxy that plays its part by hand, and links to it."""

from collections.abc import AsyncIterator

import pytest

from caption_flow.remote import link as link_module
from caption_flow.remote import talk
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from caption_flow.retry import Backoff
from tests.remote.stub import StubProxy
from tests.roles import until


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back soon, and tell soon that we cannot."""
    monkeypatch.setattr(link_module, "BACKOFF", Backoff(first=0.02, ceiling=0.1))
    monkeypatch.setattr(talk, "CUT_SECONDS", 0.5)
    monkeypatch.setattr(talk, "AGAIN_SECONDS", 0.05)


@pytest.fixture
async def stub() -> AsyncIterator[StubProxy]:
    async with StubProxy() as proxy:
        yield proxy


@pytest.fixture
async def link(stub: StubProxy) -> AsyncIterator[Link]:
    async with Link(entrance_to(stub)) as opened:
        yield opened


@pytest.fixture
async def queue(link: Link) -> RemoteWorkQueue:
    """A channel that serves all stages."""
    made = RemoteWorkQueue(link)
    await made.serve(["caption"], lease_seconds=60.0)
    return made


def entrance_to(proxy: StubProxy, token: str = "cf_secret") -> Entrance:
    return Entrance(proxy.url, token, role="worker", member="host-worker-1a2b3c")


async def until_failed(link: Link) -> Exception:
    """Wait until the link has ended for good."""
    await until(lambda: link.failure)
    assert link.failure is not None
    return link.failure
