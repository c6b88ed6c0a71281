"""Over TLS the name is checked, and where a server has HTTP/2 it is spoken."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from caption_flow.fetch import Client, FetchFailed, Resolver
from tests import require
from tests.fetch.conftest import LOCAL, limits, names
from tests.fetch.h2_server import H2Server, certificate, server_context
from tests.fetch.naughty import NaughtyServer

HOST = "images.test"
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(shutil.which("openssl"), "openssl")
    return certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def h2_server(pem: Path) -> Iterator[H2Server]:
    with H2Server(server_context(pem, "h2")) as server:
        server.bodies = {f"/{number}": bytes([number]) * 20_000 for number in range(50)}
        yield server


def trusting(pem: Path | None, **changed: object) -> Client:
    context = ssl.create_default_context(cafile=pem)
    resolver = Resolver(names({HOST: [LOCAL], "other.test": [LOCAL]}))
    # The server shares this process and its cores: nothing here is about how fast it is.
    given = {"seconds": 60.0, "connect_seconds": 20.0, "idle_seconds": 20.0, **changed}
    return Client(limits(**given), (LOCAL,), resolver=resolver, ssl_context=context)


@pytest.fixture
async def client(pem: Path) -> AsyncIterator[Client]:
    async with trusting(pem) as opened:
        yield opened


async def test_many_downloads_share_a_connection(client: Client, h2_server: H2Server):
    urls = [h2_server.url(path, HOST) for path in h2_server.bodies]

    fetched = await asyncio.gather(*(client.get(url, max_bytes=LIMIT) for url in urls))

    assert [f.body for f in fetched] == list(h2_server.bodies.values())
    assert h2_server.connections == 1
    assert h2_server.asked[0][":authority"] == f"{HOST}:{h2_server.port}"


async def test_bodies_that_are_cut_cost_no_other_download(client: Client, h2_server: H2Server):
    """More than the window that all streams of one connection share, together."""
    good, bad = h2_server.url("/7", HOST), h2_server.url("/endless", HOST)

    for _ in range(20):
        with pytest.raises(FetchFailed, match="too_many_bytes"):
            await client.get(bad, max_bytes=LIMIT)
        assert len((await client.get(good, max_bytes=LIMIT)).body) == 20_000


async def test_stream_comes_over_it_too(client: Client, h2_server: H2Server):
    body = h2_server.bodies["/large"] = bytes(range(256)) * 20_000

    chunks = [chunk async for chunk in client.stream(h2_server.url("/large", HOST))]

    assert b"".join(chunks) == body


async def test_server_without_http_2_is_spoken_to_as_it_can(pem: Path, client: Client):
    with NaughtyServer(LOCAL, server_context(pem, "http/1.1")) as server:
        server.serve("/a", b"fine")
        urls = [server.url("/a", HOST)] * 8
        fetched = await asyncio.gather(*(client.get(url, max_bytes=9) for url in urls))

    assert [f.body for f in fetched] == [b"fine"] * 8


async def test_certificate_of_another_name_is_refused(pem: Path, h2_server: H2Server):
    async with trusting(pem, tries=1) as client:
        with pytest.raises(FetchFailed, match=r"unreachable.*(?i:certificate)"):
            await client.get(h2_server.url("/7", "other.test"), max_bytes=LIMIT)
    assert h2_server.asked == []


async def test_certificate_that_nobody_vouches_for_is_refused(h2_server: H2Server):
    async with trusting(None, tries=1) as client:
        with pytest.raises(FetchFailed, match=r"unreachable.*(?i:certificate)"):
            await client.get(h2_server.url("/7", HOST), max_bytes=LIMIT)
    assert h2_server.asked == []
