"""A body is fetched whole, within its limits, or it is told why not."""

import time

import pytest

from caption_flow.fetch import Client, FetchFailed
from tests.fetch.conftest import Open
from tests.fetch.naughty import (
    Behaviour,
    NaughtyServer,
    cut,
    dripping,
    endless,
    raw,
    silent,
    stalled,
    status,
    too_long,
    whole,
)

IMAGE = bytes(range(256)) * 80
LIMIT = 1 << 20


async def failure(client: Client, url: str, max_bytes: int = LIMIT) -> FetchFailed:
    with pytest.raises(FetchFailed) as told:
        await client.get(url, max_bytes=max_bytes)
    return told.value


async def test_body_comes_with_what_is_told_of_it(client: Client, server: NaughtyServer):
    url = server.serve(
        "/a.jpg", IMAGE, 'ETag: "one"', "Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT"
    )

    fetched = await client.get(url, max_bytes=LIMIT)

    assert fetched.body == IMAGE
    assert (fetched.url, fetched.total, fetched.etag) == (url, len(IMAGE), '"one"')
    assert fetched.last_modified == "Tue, 24 Nov 2026 10:00:00 GMT"


async def test_connection_is_used_again(client: Client, server: NaughtyServer):
    url = server.serve("/a.jpg", IMAGE)

    for _ in range(5):
        await client.get(url, max_bytes=LIMIT)
        await client.get(url, max_bytes=LIMIT, start=5, length=7)
        await failure(client, server.url("/missing"))

    assert server.connections == 1


async def test_we_say_who_we_are_and_take_no_wrapping(client: Client, server: NaughtyServer):
    await client.get(server.serve("/a.jpg", IMAGE), max_bytes=LIMIT)

    [call] = server.seen
    assert call.headers["user-agent"].startswith("caption-flow/")
    assert call.headers["accept-encoding"] == "identity"
    assert call.headers["host"] == f"127.0.0.1:{server.port}"


async def test_name_of_the_user_agent_can_be_given(open_client: Open, server: NaughtyServer):
    client = open_client(user_agent="museum/1 (mail@example.test)")
    await client.get(server.serve("/a.jpg", IMAGE), max_bytes=LIMIT)

    assert server.seen[0].headers["user-agent"] == "museum/1 (mail@example.test)"


async def test_spaces_and_letters_of_any_script_are_spelled_for_the_server(
    client: Client, server: NaughtyServer
):
    server.serve("/a%20b/%C3%A4%2F.jpg?x=%C3%B6&y=[1]", IMAGE)

    fetched = await client.get(server.url("/a b/ä%2F.jpg?x=ö&y=[1]#part"), max_bytes=LIMIT)

    assert fetched.body == IMAGE


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (401, ("forbidden", False, 1)),
        (403, ("forbidden", False, 1)),
        (404, ("not_found", False, 1)),
        (410, ("not_found", False, 1)),
        (451, ("forbidden", False, 1)),
        (418, ("http_status", False, 1)),
        (204, ("http_status", False, 1)),
        (304, ("http_status", False, 1)),
        (408, ("timeout", True, 4)),
        (429, ("rate_limited", True, 4)),
        (500, ("server_error", True, 4)),
        (503, ("server_error", True, 4)),
        (501, ("server_error", True, 1)),
    ],
)
async def test_each_status_has_its_reason(
    client: Client, server: NaughtyServer, code: int, told: tuple[str, bool, int]
):
    failed = await failure(client, server.on("/a", status(code, body=b"")))

    assert (failed.reason, failed.transient, len(server.seen)) == told
    assert str(code) in failed.detail


@pytest.mark.parametrize(
    "first",
    [
        status(500),
        status(502),
        status(429),
        cut(IMAGE, 100),
        cut(IMAGE, 0),
        raw(b""),
        raw(b"\x00\xff garbage\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
    ],
)
async def test_what_fails_once_is_tried_again(
    client: Client, server: NaughtyServer, first: Behaviour
):
    fetched = await client.get(server.on("/a", first, whole(IMAGE)), max_bytes=LIMIT)

    assert fetched.body == IMAGE
    assert len(server.seen) == 2


async def test_body_that_is_always_cut_short_is_truncated(client: Client, server: NaughtyServer):
    failed = await failure(client, server.on("/a", cut(IMAGE, 1000)))

    assert (failed.reason, failed.transient) == ("truncated", True)
    assert len(server.seen) == 4


async def test_bytes_beyond_the_told_length_harm_no_later_download(
    client: Client, server: NaughtyServer
):
    """Not even where they look like an answer."""
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    first = await client.get(server.on("/a", too_long(IMAGE + more, len(IMAGE))), max_bytes=LIMIT)
    second = await client.get(server.serve("/b", b"fine"), max_bytes=LIMIT)

    assert (first.body, second.body) == (IMAGE, b"fine")


async def test_body_of_no_told_length_ends_with_its_connection(
    client: Client, server: NaughtyServer
):
    url = server.on("/a", raw(b"HTTP/1.1 200 OK\r\n\r\n" + IMAGE))

    assert (await client.get(url, max_bytes=LIMIT)).body == IMAGE


async def test_told_length_above_the_limit_costs_no_body(client: Client, server: NaughtyServer):
    failed = await failure(client, server.on("/a", stalled(IMAGE, 10)), max_bytes=1000)

    assert (failed.reason, failed.transient) == ("too_many_bytes", False)
    assert "20,480" in failed.detail
    assert len(server.seen) == 1


async def test_body_of_just_the_limit_is_taken(client: Client, server: NaughtyServer):
    fetched = await client.get(server.serve("/a", IMAGE), max_bytes=len(IMAGE))

    assert fetched.body == IMAGE


async def test_endless_body_ends_at_the_limit(client: Client, server: NaughtyServer):
    failed = await failure(client, server.on("/a", endless))

    assert failed.reason == "too_many_bytes"
    assert server.sent < 40 * LIMIT  # what the buffers of the kernel take


@pytest.mark.parametrize("behaviour", [stalled(IMAGE, 100), silent])
async def test_server_that_falls_silent_is_a_timeout(
    open_client: Open, server: NaughtyServer, behaviour: Behaviour
):
    client = open_client(idle_seconds=0.05, tries=2)
    failed = await failure(client, server.on("/a", behaviour))

    assert (failed.reason, failed.transient) == ("timeout", True)
    assert len(server.seen) == 2


async def test_dripping_body_ends_with_the_time_of_its_tries(
    open_client: Open, server: NaughtyServer
):
    client = open_client(seconds=0.2, tries=2)
    began = time.monotonic()
    failed = await failure(client, server.on("/a", dripping(0.01)))

    assert failed.reason == "timeout"
    assert time.monotonic() - began < 5


async def test_all_tries_end_within_three_times_the_seconds_of_one(
    open_client: Open, server: NaughtyServer
):
    client = open_client(seconds=0.2, tries=100)
    began = time.monotonic()
    await failure(client, server.on("/a", dripping(0.01)))

    assert time.monotonic() - began < 5
    assert len(server.seen) <= 4


async def test_wrapped_body_is_refused(client: Client, server: NaughtyServer):
    url = server.on("/a", status(200, "Content-Encoding: gzip", body=IMAGE))

    assert (await failure(client, url)).reason == "http_status"


@pytest.mark.parametrize(
    ("tag", "used"),
    [
        ("noai", False),
        ("noindex, noimageai", False),
        ("*: noai", False),
        ("caption-flow: NoAI", False),
        ("otherbot: noai", True),
        ("noindex", True),
    ],
)
async def test_wish_of_the_server_that_no_model_has_it_is_kept(
    client: Client, server: NaughtyServer, tag: str, used: bool
):
    url = server.serve("/a", IMAGE, f"X-Robots-Tag: {tag}")

    if used:
        assert (await client.get(url, max_bytes=LIMIT)).body == IMAGE
    else:
        assert (await failure(client, url)).reason == "robots"


async def test_wish_is_passed_over_where_the_owner_says_so(
    open_client: Open, server: NaughtyServer
):
    client = open_client(ignore_robots_tag=True)

    await client.get(server.serve("/a", IMAGE, "X-Robots-Tag: noai"), max_bytes=LIMIT)


async def test_page_in_place_of_an_image_comes_as_it_is(client: Client, server: NaughtyServer):
    """What it is, the image module tells."""
    url = server.serve("/a.jpg", b"<!doctype html>", "Content-Type: image/jpeg")

    assert (await client.get(url, max_bytes=LIMIT)).body == b"<!doctype html>"
