"""Redirects are followed by hand, so far and no farther."""

import pytest

from caption_flow.fetch import Client, FetchFailed, Resolver
from tests.fetch.conftest import LOCAL, Open, limits, names
from tests.fetch.naughty import NaughtyServer, redirect, status


async def reason(client: Client, url: str) -> str:
    with pytest.raises(FetchFailed) as told:
        await client.get(url, max_bytes=1000)
    return told.value.reason


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_chain_is_followed_to_its_end(client: Client, server: NaughtyServer, code: int):
    server.serve("/x/d?q=1", b"fine")
    server.on("/x/c", redirect("d?q=1", code))
    server.on("/b", redirect("/x/c", code))
    url = server.on("/a", redirect(server.url("/b"), code))

    fetched = await client.get(url, max_bytes=1000)

    assert (fetched.body, fetched.url) == (b"fine", server.url("/x/d?q=1"))
    assert server.connections == 1


async def test_chain_longer_than_allowed_is_not(open_client: Open, server: NaughtyServer):
    for number in range(5):
        server.on(f"/{number}", redirect(f"/{number + 1}"))
    server.serve("/5", b"fine")

    assert await reason(open_client(redirects=4), server.url("/0")) == "bad_redirect"
    assert (await open_client(redirects=5).get(server.url("/0"), max_bytes=9)).body == b"fine"


async def test_circle_is_found_at_once(client: Client, server: NaughtyServer):
    server.on("/a", redirect("/b"))
    server.on("/b", redirect("/a"))

    assert await reason(client, server.url("/a")) == "bad_redirect"
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "location",
    [
        "ftp://host.test/",
        "file:///etc/passwd",
        "http://u:p@host.test/",
        "http://[",
        "//",
        "http://x:y/",
    ],
)
async def test_redirect_to_what_is_not_fetched_is_refused(
    client: Client, server: NaughtyServer, location: str
):
    assert await reason(client, server.on("/a", redirect(location))) == "bad_redirect"


async def test_redirect_to_nowhere_is_refused(client: Client, server: NaughtyServer):
    assert await reason(client, server.on("/a", status(302))) == "bad_redirect"


async def test_redirect_in_utf_8_is_followed(client: Client, server: NaughtyServer):
    server.serve("/%C3%A4", b"fine")
    url = server.on("/a", redirect("/ä"))

    assert (await client.get(url, max_bytes=1000)).body == b"fine"


async def test_token_is_sent_to_its_origin_and_to_no_other(server: NaughtyServer):
    """Nor to that origin when another sends us there: then it is not the one that was asked for."""
    table = {"hub.test": [LOCAL], "other.test": [LOCAL]}

    def headers(url: str) -> dict[str, str]:
        return {"Authorization": "Bearer t"} if url.startswith("http://hub.test") else {}

    server.on("/start", redirect("/middle"))
    server.on("/middle", redirect(server.url("/end", "other.test")))
    server.on("/back", redirect(server.url("/end", "hub.test")))
    server.serve("/end", b"fine")
    resolver = Resolver(names(table))
    async with Client(limits(), (LOCAL,), headers, resolver=resolver) as client:
        await client.get(server.url("/start", "hub.test"), max_bytes=1000)
        await client.get(server.url("/back", "other.test"), max_bytes=1000)

    told = [(call.target, "authorization" in call.headers) for call in server.seen]
    assert told == [
        ("/start", True),
        ("/middle", True),
        ("/end", False),
        ("/back", False),
        ("/end", False),
    ]
