"""What tests of references share: what fetches for a worker, and images that lie elsewhere."""

from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.fetch import Client, DownloadLimits, Resolver
from caption_flow.model import Reference
from caption_flow.worker import references
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from tests.fetch.conftest import LOCAL, limits, names
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg

SLOW = "127.0.0.2"
LARGEST = 1 << 20
Make = Callable[..., References]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one host is asked, nobody else will answer."""
    monkeypatch.setattr(references, "JUDGE_SECONDS", 0.5)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes what fetches for a worker, and closes it."""
    made: list[References] = []

    def make_one(
        hub: Hub = Hub(),  # noqa: B008 - frozen
        table: dict[str, list[str]] | None = None,
        networks: Sequence[str] = (LOCAL, SLOW),
        **changed: object,
    ) -> References:
        told: DownloadLimits = limits(**changed)

        def connect() -> Client:
            resolver = Resolver(names(table or {}))
            return Client(told, networks, hub.headers, trusted=hub.trusted, resolver=resolver)

        made.append(References(connect, hub, at_once=told.at_once, max_bytes=LARGEST))
        return made[-1]

    yield make_one
    for one in made:
        await one.__aexit__(None, None, None)


def simulated(**config: object) -> SimulatedEngine:
    return SimulatedEngine(SimulatedConfig(**config), capacity=8)  # type: ignore[arg-type]


def serve(server: NaughtyServer, *numbers: int) -> list[Reference]:
    return [Reference(server.serve(f"/{n}.jpg", jpeg(n))) for n in numbers]
