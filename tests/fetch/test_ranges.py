"""Runs of bytes out of something large, and the facts of it."""

import pytest

from caption_flow.fetch import Client, FetchFailed
from tests.fetch.naughty import Behaviour, Call, NaughtyServer, stalled, status, whole

TAR = bytes(range(256)) * 8192  # 2 MiB
TAG = 'ETag: "one"'


async def reason(client: Client, url: str, start: int, length: int | None) -> str:
    with pytest.raises(FetchFailed) as told:
        await client.get(url, max_bytes=1 << 20, start=start, length=length)
    return told.value.reason


async def test_run_of_bytes_is_all_that_is_sent(client: Client, server: NaughtyServer):
    url = server.serve("/0.tar", TAR, TAG)

    fetched = await client.get(url, max_bytes=1000, start=1_500_000, length=700)

    assert fetched.body == TAR[1_500_000:1_500_700]
    assert (fetched.total, fetched.etag) == (len(TAR), '"one"')
    assert server.sent < 2000


async def test_run_to_the_end(client: Client, server: NaughtyServer):
    url = server.serve("/0.tar", TAR)

    assert (await client.get(url, max_bytes=99, start=len(TAR) - 9)).body == TAR[-9:]


@pytest.mark.parametrize(("start", "length"), [(0, 10), (100_000, 70_000), (1 << 20, 3)])
async def test_server_without_ranges_is_read_from_the_start_where_that_is_cheap(
    client: Client, server: NaughtyServer, start: int, length: int
):
    url = server.serve("/0.tar", TAR, ranges=False)

    fetched = await client.get(url, max_bytes=length, start=start, length=length)

    assert fetched.body == TAR[start : start + length]
    assert fetched.total == len(TAR)


async def test_server_without_ranges_is_not_read_far(client: Client, server: NaughtyServer):
    url = server.serve("/0.tar", TAR, ranges=False)

    assert await reason(client, url, (1 << 20) + 1, 5) == "no_ranges"


@pytest.mark.parametrize("start", [len(TAR) - 5, len(TAR), len(TAR) + 5])
async def test_run_beyond_the_end_means_that_it_is_not_what_it_was(
    client: Client, server: NaughtyServer, start: int
):
    assert await reason(client, server.serve("/0.tar", TAR), start, 10) == "changed"


def part(span: str, body: bytes) -> Behaviour:
    return status(206, f"Content-Range: {span}", body=body)


@pytest.mark.parametrize(
    "answer",
    [
        part("bytes 0-9/100", bytes(10)),
        part("bytes 50-58/100", bytes(9)),
        part("bytes 50-79/100", bytes(30)),
        part("bytes 50-49/100", b""),
        part("bytes 50-59/55", bytes(10)),
        part("lines 50-59/100", bytes(10)),
        status(206, body=bytes(10)),
    ],
)
async def test_another_part_than_asked_for_is_refused(
    client: Client, server: NaughtyServer, answer: Behaviour
):
    assert await reason(client, server.on("/0.tar", answer), 50, 10) in {"no_ranges", "http_status"}


async def test_part_that_is_shorter_than_it_says_is_truncated(
    client: Client, server: NaughtyServer
):
    url = server.on("/0.tar", part("bytes 50-59/100", bytes(7)))

    assert await reason(client, url, 50, 10) == "truncated"


async def test_run_above_the_limit_is_not_asked_for(client: Client, server: NaughtyServer):
    assert await reason(client, server.url("/0.tar"), 0, 2 << 20) == "too_many_bytes"
    assert server.seen == []


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, 0), (3, -5)])
async def test_run_that_is_none_is_not_asked_for(
    client: Client, server: NaughtyServer, start: int, length: int
):
    assert await reason(client, server.url("/0.tar"), start, length) == "bad_url"


async def test_head_tells_size_and_version(client: Client, server: NaughtyServer):
    fetched = await client.head(server.serve("/0.tar", TAR, TAG))

    assert (fetched.body, fetched.total, fetched.etag) == (b"", len(TAR), '"one"')
    assert server.sent < 500


@pytest.mark.parametrize("ranges", [True, False])
async def test_where_head_is_refused_a_byte_is_fetched(
    client: Client, server: NaughtyServer, ranges: bool
):
    async def behave(call: Call) -> bool | None:
        refuse = call.method == "HEAD"
        return await (status(405) if refuse else whole(TAR, TAG, ranges=ranges))(call)

    fetched = await client.head(server.on("/0.tar", behave))

    assert (fetched.body, fetched.total, fetched.etag) == (b"", len(TAR), '"one"')


async def test_head_of_what_is_not_there_is_asked_once(client: Client, server: NaughtyServer):
    with pytest.raises(FetchFailed, match="not_found"):
        await client.head(server.url("/none"))
    assert len(server.seen) == 1


async def test_length_told_above_the_limit_is_no_matter_to_a_run(
    client: Client, server: NaughtyServer
):
    url = server.on("/0.tar", stalled(TAR, 5000))

    assert (await client.get(url, max_bytes=100, start=9, length=100)).body == TAR[9:109]
