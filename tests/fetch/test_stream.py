"""A stream goes on where a connection broke off, and knows when it cannot."""

import asyncio
import random
import time

import pytest

from caption_flow.fetch import Client, FetchFailed
from caption_flow.fetch.streaming import PROGRESS
from tests.fetch.conftest import Open, until
from tests.fetch.naughty import (
    Behaviour,
    NaughtyServer,
    cut,
    dripping,
    endless,
    redirect,
    stalled,
    status,
    whole,
)

TAR = random.Random(7).randbytes(600_000)
TAG, OTHER = 'ETag: "one"', 'ETag: "two"'
DATE, LATER = "Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT", "Last-Modified: Wed, 25 Nov 2026"


async def read(
    client: Client, url: str, start: int = 0, end: int | None = None, most: int | None = None
) -> bytes:
    chunks = client.stream(url, start=start, end=end, max_bytes=most)
    return b"".join([chunk async for chunk in chunks])


async def reason(client: Client, url: str, most: int | None = None) -> str:
    with pytest.raises(FetchFailed) as told:
        await read(client, url, most=most)
    return told.value.reason


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 100), (7, None), (100_000, 300_000), (599_999, 600_000)]
)
@pytest.mark.parametrize("ranges", [True, False])
async def test_run_is_read(
    client: Client, server: NaughtyServer, start: int, end: int | None, ranges: bool
):
    url = server.serve("/0.tar", TAR, ranges=ranges)

    assert await read(client, url, start, end) == TAR[start:end]


@pytest.mark.parametrize("versions", [(TAG,), (DATE,), (TAG, DATE), ('ETag: W/"one"', DATE), ()])
async def test_stream_goes_on_after_broken_connections(
    client: Client, server: NaughtyServer, versions: tuple[str, ...]
):
    url = server.on("/0.tar", cut(TAR, 200_000, *versions))

    assert await read(client, url) == TAR
    assert [call.headers.get("range") for call in server.seen] == [
        None,
        "bytes=200000-",
        "bytes=400000-",
    ]


async def test_rest_is_asked_for_only_of_the_same_version(client: Client, server: NaughtyServer):
    url = server.on("/0.tar", cut(TAR, 1000, TAG, DATE), whole(TAR, TAG))

    assert await read(client, url) == TAR
    assert server.seen[1].headers["if-range"] == '"one"'


async def test_end_that_was_reached_is_not_asked_for(client: Client, server: NaughtyServer):
    url = server.on("/0.tar", stalled(TAR, 1000))

    assert await read(client, url, 0, 1000) == TAR[:1000]


async def test_stream_goes_on_from_where_it_was_asked_for(client: Client, server: NaughtyServer):
    """The place that it was redirected to may be there for a while only."""
    server.on("/there/1", cut(TAR, 300_000, TAG))
    server.serve("/there/2", TAR, TAG)
    url = server.on("/0.tar", redirect("/there/1"), redirect("/there/2"))

    assert await read(client, url) == TAR


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (cut(TAR, 1000, TAG), whole(TAR, OTHER)),
        (cut(TAR, 1000, DATE), whole(TAR, LATER)),
        (cut(TAR, 1000), whole(TAR + b"more")),
        (cut(TAR, 1000, TAG), whole(TAR, OTHER, ranges=False)),
        (cut(TAR, 1000), status(416, body=b"")),
    ],
)
async def test_another_version_is_not_mixed_in(
    client: Client, server: NaughtyServer, first: Behaviour, then: Behaviour
):
    assert await reason(client, server.on("/0.tar", first, then)) == "changed"


async def test_server_without_ranges_is_read_again_from_the_start_where_that_is_cheap(
    client: Client, server: NaughtyServer
):
    url = server.on("/0.tar", cut(TAR, 200_000, TAG), whole(TAR, TAG, ranges=False))

    assert await read(client, url) == TAR


async def test_stream_that_never_comes_far_is_given_up(client: Client, server: NaughtyServer):
    assert await reason(client, server.on("/0.tar", cut(TAR, 1000, TAG))) == "truncated"
    assert len(server.seen) == 4


async def test_stream_that_comes_on_each_time_is_not(client: Client, server: NaughtyServer):
    url = server.on("/0.tar", cut(TAR, PROGRESS, TAG))

    assert await read(client, url) == TAR
    assert len(server.seen) > 4


async def test_stalled_stream_goes_on_with_another_connection(
    open_client: Open, server: NaughtyServer
):
    client = open_client(idle_seconds=0.1)
    url = server.on("/0.tar", stalled(TAR, 200_000), whole(TAR))

    assert await read(client, url) == TAR


async def test_dripping_stream_ends(open_client: Open, server: NaughtyServer):
    client = open_client(seconds=0.1, tries=2)
    began = time.monotonic()

    assert await reason(client, server.on("/0.tar", dripping(0.005))) == "timeout"
    assert time.monotonic() - began < 2


async def test_time_of_the_reader_does_not_count(open_client: Open, server: NaughtyServer):
    client = open_client(seconds=0.1, idle_seconds=0.1)
    got = b""
    async for chunk in client.stream(server.serve("/0.tar", TAR)):
        got += chunk
        if len(got) < 200_000:
            await asyncio.sleep(0.15)

    assert got == TAR


async def test_endless_stream_ends_at_its_limit(client: Client, server: NaughtyServer):
    url = server.on("/0.tar", endless)

    assert await reason(client, url, most=1 << 20) == "too_many_bytes"


async def test_length_above_the_limit_is_told_at_once(client: Client, server: NaughtyServer):
    url = server.on("/0.tar", stalled(TAR, 0))

    assert await reason(client, url, most=1000) == "too_many_bytes"


async def test_stream_that_is_left_lets_go_of_its_connection(
    open_client: Open, server: NaughtyServer
):
    client = open_client(per_host=1)
    url = server.on("/0.tar", endless)
    for _ in range(3):
        chunks = client.stream(url)
        await anext(chunks)
        await chunks.aclose()

    await until(lambda: not server.open_connections)


async def test_streams_leave_room_for_downloads_of_the_same_host(
    open_client: Open, server: NaughtyServer
):
    client = open_client(per_host=1, at_once=1)
    chunks = client.stream(server.on("/0.tar", endless))
    await anext(chunks)

    fetched = await client.get(server.serve("/a", b"fine"), max_bytes=9)

    assert fetched.body == b"fine"
    await chunks.aclose()
