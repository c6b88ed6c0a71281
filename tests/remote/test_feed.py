"""A feeder through a proxy: what it must know, what it brings, and that it outlives cuts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.schema import ImagesConfig
from caption_flow.errors import QueueUnfit
from caption_flow.feed.feeder import Feeder
from caption_flow.feed.memory import bring
from caption_flow.feed.planner import Planner
from caption_flow.lifecycle import Drain
from caption_flow.queue.connect import Connections
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.feed import TOO_LARGE, RemoteFeedQueue
from caption_flow.remote.link import Link
from caption_flow.wire.fields import MOST_RECORD
from caption_flow.wire.frames import Renewal
from tests.feed.test_again import caption_all, give_up
from tests.made import (
    LEASE,
    folder_source,
    pictures,
    settings,
)
from tests.proxy.callers import GRANTS, TOKENS
from tests.proxy.house import House, house
from tests.proxy.listed import ListedTokens
from tests.remote.stub import StubProxy
from tests.roles import (
    AMPLE,
    Roles,
    brisk,
    roles,
    until,
)

__all__ = ["brisk", "roles"]

Come = Callable[[], Awaitable[RemoteFeedQueue]]


@pytest.fixture
async def home(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """A proxy of a job that nobody has begun."""
    async with house(connections, roles, admission=ListedTokens(GRANTS)) as opened:
        yield opened


@pytest.fixture
async def come(home: House) -> AsyncIterator[Come]:
    """Makes feeders that come through it."""
    async with AsyncExitStack() as stack:

        async def one() -> RemoteFeedQueue:
            way = Entrance(home.url, TOKENS["feeder"], role="feeder", member="feed-1")
            return RemoteFeedQueue(await stack.enter_async_context(Link(way)))

        yield one


def feeder(queue: RemoteFeedQueue, root: Path, roles: Roles) -> Feeder:
    source, drain = folder_source(root, sidecars=("json",)), Drain()

    async def introduce() -> None:
        await queue.publish(roles.told.encode(), "pictures", least=1)

    planner = Planner(queue, source, queue, introduce=introduce, chunk_size=4, drain=drain)
    return Feeder(
        queue,
        source,
        planner,
        images=ImagesConfig(),
        budget=AMPLE,
        lease_seconds=LEASE,
        drain=drain,
        paused=lambda: False,
    )


async def offered(roles: Roles) -> list[bytes]:
    entries = await roles.client.xrange(roles.job.lane.samples("caption"))
    return sorted(fields[b"sample"] for _, fields in entries)


async def test_feeder_that_is_cut_off_again_and_again_feeds_each_image_once(
    home: House, come: Come, roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(120))
    queue = await come()
    await queue.publish(roles.told.encode(), "pictures", least=1)
    feeding = asyncio.create_task(feeder(queue, root, roles).run())
    cuts = 0
    while not feeding.done():
        await asyncio.sleep(0.05)
        for session in list(home.door._sessions):
            session._connection.transport.abort()
            cuts += 1
    await feeding

    assert cuts > 2
    found = await offered(roles)
    assert len(found) == len(set(found)) == 120
    counts = await roles.job.counts()
    assert (counts.planned, counts.offered) == (120, 120)


async def test_feeder_that_comes_back_takes_up_its_chunks_at_once_over_all_cuts(stub: StubProxy):
    """It may have nothing to say for longer than they wait for it."""
    stub.welcome["resumes"] = True
    way = Entrance(stub.url, "cf_secret", role="feeder", member="feed-1")
    async with Link(way):
        for number in range(3):
            visit = await stub.visit(number)
            assert (await visit.next(Renewal)).entries == ()
            visit.cut()
        last = (await stub.visit(3)).hello

    assert (last.tickets, last.resume) == (("ticket 0", "ticket 1"), "ticket 2")


async def test_what_is_known_is_not_planned_again(come: Come, roles: Roles, tmp_path: Path):
    """Captioned, given up and on its way, each is found; only what is new is planned."""
    root = pictures(tmp_path / "in", range(3))
    queue = await come()
    await queue.publish(roles.told.encode(), "pictures", least=1)
    await give_up(roles, root, 1)
    await caption_all(roles)
    pictures(root, [7])
    await feeder(queue, root, roles).run()
    pictures(root, [8])
    known = await queue.known(later=True)

    names = [f"{number:05}.jpg" for number in (0, 1, 2, 7, 8)]
    assert known.unknown(names) == ["00008.jpg"]


async def test_job_without_settings_gets_those_of_its_first_feeder(
    come: Come, roles: Roles, caplog: pytest.LogCaptureFixture
):
    """Those of another are kept back, and it says how to change that."""
    first, second = await come(), await come()
    ours, theirs = roles.told, replace(roles.told, batch_size=77)

    await bring(first, ours, "pictures", first)
    with caplog.at_level(logging.WARNING):
        await bring(second, theirs, "pictures", second)

    told = await roles.job.settings()
    assert told is not None
    assert (told.version, told.document) == (1, ours.encode())
    assert told.by.startswith("feed of the feeder on ")
    assert "reload_config" in caplog.text


async def test_other_data_set_is_refused(come: Come, roles: Roles):
    queue = await come()
    await bring(queue, roles.told, "pictures", queue)

    with pytest.raises(QueueUnfit, match="captions another data set, pictures"):
        await bring(queue, roles.told, "others", queue)


async def test_settings_that_the_queue_has_forgotten_come_back_with_their_secrets(
    come: Come, roles: Roles
):
    """Clients are not told these; the proxy has them."""
    endpoint = Endpoint(base_url="https://example.com/v1", headers={"X-Team": "secret"})
    ours = settings(openai=OpenaiConfig(endpoints=(endpoint,)))
    queue = await come()
    memory = await bring(queue, ours, "pictures", queue)
    await until(lambda: queue._link.settings)
    assert b"secret" not in queue._link.settings.document  # type: ignore[union-attr]

    await roles.client.flushall()
    await memory.introduce()

    told = await roles.job.settings()
    assert told is not None
    assert told.document == ours.encode()
    assert told.version > 1


async def test_sample_of_which_too_much_is_said_is_given_up(
    come: Come, roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(2))
    (root / "00000.json").write_text(f'{{"story": "{"x" * MOST_RECORD}"}}')
    queue = await come()
    await queue.publish(roles.told.encode(), "pictures", least=1)

    await feeder(queue, root, roles).run()

    counts = await roles.job.counts()
    assert (counts.planned, counts.offered, counts.dead) == (2, 2, 1)
    entries = await roles.client.xrange(roles.job.lane.dead)
    assert TOO_LARGE.encode() in entries[0][1][b"why"]
