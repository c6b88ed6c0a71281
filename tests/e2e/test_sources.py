"""Each kind of data set, fed by a feeder that is killed half-way and by the next one."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.fetch import Client
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from tests.e2e.desk import Desk, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.kinds import COUNT, KINDS, Made, Servers
from tests.feeders.hub_server import hub_server
from tests.fetch.naughty import NaughtyServer
from tests.roles import (
    JOB,
    Roles,
    brisk,
    ends,
    roles,
)

__all__ = ["brisk", "roles"]

BEFORE = 12  # samples that are fed before the first feeder dies
BRIEF = settings(engine="simulated", lease_seconds=1, chunk_size=8)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with NaughtyServer() as web, hub_server() as hub:
        yield Servers(web, hub)


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Made:
    make: Callable[[Path, Servers], Made] = request.param
    return make(tmp_path / "pictures", servers)


async def test_each_sample_is_captioned_once_with_its_image_and_columns(
    made: Made, desk: Desk, roles: Roles, redis_url: str
):
    job = Job(redis_url, JOB)
    common = ("feed", made.path, "--redis", redis_url, "--job", JOB, *BRIEF, *made.flags)
    common += settings(dataset__type=made.type)
    first = desk.start(*common, *settings(budget__samples=BEFORE), environ=made.environment)
    wait_until(lambda: first.ended or job.count("offered") >= BEFORE // 2, "samples")
    assert not first.ended, first.wait().words
    first.kill()

    fed = desk.start(*common, environ=made.environment).wait()

    assert fed.code == 0, fed.words
    hub = Hub(made.environment.get("HF_ENDPOINT", ""))
    references = References(
        lambda: Client(allow_networks=["127.0.0.1"]), hub, at_once=8, max_bytes=1 << 20
    )
    engine = SimulatedEngine(SimulatedConfig(), capacity=8)
    async with references:
        await ends((await roles.worker(engine, references=references)).run())
    await ends(roles.sink().run())
    rows = roles.rows()
    assert {row["id"]: row["sha256"] for row in rows} == {
        id_: hashlib.sha256(image).hexdigest() for id_, image in made.images.items()
    }
    assert len(rows) == COUNT
    assert all(row["sha256"][:32] in row["captions"][0] for row in rows)
    for row in rows:
        expected = made.columns.get(row["id"], {})
        assert {name: row[name] for name in expected} == expected
