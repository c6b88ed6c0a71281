"""Fixtures for fetching: a server that is allowed, another that is not, and a client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from caption_flow.fetch import Client, DownloadLimits, Resolver, persist, streaming
from caption_flow.retry import Backoff
from tests.fetch.naughty import NaughtyServer

LOCAL = "127.0.0.1"
FORBIDDEN = "127.0.0.2"  # loopback too, but no network that the tests allow


def limits(**changed: object) -> DownloadLimits:
    """Limits of a test, which has little time."""
    given: dict[str, object] = {"seconds": 5.0, "connect_seconds": 2.0, "idle_seconds": 2.0}
    return DownloadLimits(**{**given, **changed})  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it may hold in another thread
            await asyncio.sleep(0.002)


def names(table: dict[str, list[str]]) -> Callable[[str], list[str]]:
    """A name service: this table, and addresses as they are."""

    def lookup(name: str) -> list[str]:
        return table.get(name) or [name]

    return lookup


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    for module in (persist, streaming):
        monkeypatch.setattr(module, "BACKOFF", Backoff(first=0.001, ceiling=0.01))


@pytest.fixture
def server() -> Iterator[NaughtyServer]:
    with NaughtyServer(LOCAL) as started:
        yield started


@pytest.fixture
def inner() -> Iterator[NaughtyServer]:
    """A server of a network that must not be reached."""
    with NaughtyServer(FORBIDDEN) as started:
        started.serve("/secret", b"secret")
        yield started


Open = Callable[..., Client]


@pytest.fixture
async def open_client() -> AsyncIterator[Open]:
    """Makes clients that may reach the server, and closes them."""
    opened: list[Client] = []

    def make(table: dict[str, list[str]] | None = None, **changed: object) -> Client:
        client = Client(limits(**changed), (LOCAL,), resolver=Resolver(names(table or {})))
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.__aexit__(None, None, None)


@pytest.fixture
async def client(open_client: Open) -> Client:
    return open_client()
