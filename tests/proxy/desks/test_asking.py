"""What monitors see of shards through a proxy."""

from collections.abc import AsyncIterator

import pytest

from caption_flow.queue.ports import Shard
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.link import Link
from caption_flow.remote.office import RemoteInspector
from tests.proxy.callers import TOKENS, home
from tests.proxy.house import House
from tests.queue.shop import chunk_of

__all__ = ["home"]

NAMES = ["a/été", "b\udcff", "c"]


@pytest.fixture
async def inspector(home: House) -> AsyncIterator[RemoteInspector]:
    entrance = Entrance(home.url, TOKENS["monitor"], role="monitor", member="host-monitor-1")
    async with Link(entrance) as link:
        yield RemoteInspector(link)


async def test_shards_are_paged_through_a_proxy(home: House, inspector: RemoteInspector):
    queue = home.roles.feed_queue()
    for number, name in enumerate(NAMES):
        before = await queue.position()
        chunk = chunk_of(f"chunk{number}", 2, name)
        await queue.plan(before, str(number), chunk, backlog=9, done=False)

    first = await inspector.shards("", 2)
    rest = await inspector.shards(first[-1].name, 2)

    assert [*first, *rest] == [Shard(name, 2, 0, 0) for name in NAMES]


async def test_shards_of_an_empty_job_are_none(inspector: RemoteInspector):
    assert await inspector.shards("", 5) == []
    assert (await inspector.snapshot()).shards == ()
