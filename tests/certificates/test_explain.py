"""Why TLS kept a connection from coming about is said, with what to do about it."""

import asyncio
import shutil
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from caption_flow.certificates.contexts import client_context, server_context
from caption_flow.certificates.explain import explain
from tests import require
from tests.certificates.pairs import DAY, Pair, authority, pair
from tests.talking import talking


@asynccontextmanager
async def proxy(made: Pair | None) -> AsyncIterator[int]:
    """A server of websockets, whatever its certificate is worth."""
    context = None
    if made:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert, made.key)
    async with serve(_listen, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def _listen(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def why(url: str, ca_cert: Path | None = None) -> str | None:
    """Connect in vain, and ask why."""
    context = client_context(ca_cert=ca_cert) if url.startswith("wss") else None
    with pytest.raises((OSError, EOFError, WebSocketException)) as caught:
        await connect(url, ssl=context, proxy=None)
    return await explain(caught.value, url, ca_cert=ca_cert)


async def told(made: Pair | None, url: str, ca_cert: Path | None = None) -> str:
    async with proxy(made) as port:
        said = await why(url.format(port=port), ca_cert)
    assert said is not None
    return said


async def test_certificate_for_another_host(tmp_path: Path):
    made = pair(tmp_path, names=["project.test", "*.project.test", "10.0.0.5"])

    said = await told(made, "wss://localhost:{port}", made.cert)

    assert "for project.test, *.project.test, 10.0.0.5, not for localhost" in said
    assert "generate_cert --domain localhost" in said
    assert "--no-verify-ssl" in said


async def test_certificate_for_another_address(tmp_path: Path):
    made = pair(tmp_path, names=["project.test"])

    said = await told(made, "wss://127.0.0.1:{port}", made.cert)

    assert "for project.test, not for 127.0.0.1" in said


async def test_certificate_for_nobody(tmp_path: Path):
    made = pair(tmp_path, names=[])

    assert "for no host at all, not for localhost" in await told(
        made, "wss://localhost:{port}", made.cert
    )


async def test_names_of_a_stranger_are_few_and_can_be_shown(tmp_path: Path):
    names = [f"{number}\x1b[31m.test" for number in range(50)]
    made = pair(tmp_path, names=names)

    said = await told(made, "wss://localhost:{port}", made.cert)

    assert said.isprintable()
    assert "4\ufffd[31m.test and 45 more" in said


async def test_expired_certificate(tmp_path: Path):
    made = pair(tmp_path, begins=-3 * DAY, ends=-2 * DAY)

    said = await told(made, "wss://localhost:{port}", made.cert)

    assert f"expired on {made.certificate.not_valid_after_utc:%Y-%m-%d}" in said
    assert "must renew" in said


async def test_certificate_of_the_future(tmp_path: Path):
    made = pair(tmp_path, begins=timedelta(hours=1))

    said = await told(made, "wss://localhost:{port}", made.cert)

    assert f"not valid before {made.certificate.not_valid_before_utc:%Y-%m-%d}" in said
    assert "clock of this host" in said


async def test_self_signed_certificate(tmp_path: Path):
    said = await told(pair(tmp_path), "wss://localhost:{port}")

    assert "self-signed" in said
    assert "--ca-cert FILE" in said
    assert "--no-verify-ssl" in said


async def test_certificate_of_an_unknown_authority(tmp_path: Path):
    signer, _ = authority(tmp_path)

    said = await told(pair(tmp_path, authority=signer), "wss://localhost:{port}")

    assert 'issued by "CN=Lab authority"' in said
    assert "--ca-cert FILE" in said


async def test_certificate_that_is_not_in_the_file_that_was_given(tmp_path: Path):
    other = pair(tmp_path, "other")

    said = await told(pair(tmp_path), "wss://localhost:{port}", other.cert)

    assert f"neither in {other.cert}" in said
    assert "pass --ca-cert" not in said


async def test_tls_where_none_is_spoken():
    said = await told(None, "wss://localhost:{port}")

    assert "speaks no TLS" in said
    assert "ws://" in said


async def test_no_tls_where_it_is_spoken(tmp_path: Path):
    said = await told(pair(tmp_path), "ws://127.0.0.1:{port}")

    assert "speaks TLS. Connect with wss://" in said


async def test_url_with_a_password_is_not_said(tmp_path: Path):
    async with proxy(pair(tmp_path)) as port:
        said = await why(f"ws://someone:secret@127.0.0.1:{port}/?token=secret")

    assert said is not None
    assert "secret" not in said


async def test_server_that_speaks_older_tls_alone_is_told(tmp_path: Path):
    require(shutil.which("openssl"), "openssl")
    async with old_server(pair(tmp_path)) as port:
        said = await why(f"wss://127.0.0.1:{port}")

    assert said is not None
    assert "PROTOCOL_VERSION" in said
    assert "TLS 1.2 or newer" in said


@asynccontextmanager
async def old_server(made: Pair) -> AsyncIterator[int]:
    """One of TLS 1.1."""
    words = ["-accept", "127.0.0.1:0", "-cert", made.cert, "-key", made.key, "-tls1_1"]
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", *words, "-cipher", "ALL:@SECLEVEL=0"),
        stdin=asyncio.subprocess.PIPE,  # it ends when that does
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    line = b""
    while not line.startswith(b"ACCEPT "):
        line = await process.stdout.readline()
    try:
        yield int(line.rpartition(b":")[2])
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("error", [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")])
async def test_proxy_that_ends_just_now_is_another_matter(error: ssl.SSLError):
    async with proxy(None) as port:
        pass

    assert await explain(error, f"wss://127.0.0.1:{port}") is None


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_server_that_is_down_is_another_matter(scheme: str):
    async with proxy(None) as port:
        pass

    assert await why(f"{scheme}://127.0.0.1:{port}") is None


async def test_server_that_speaks_something_else_is_another_matter():
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))

    async with talking(hang_up) as port:
        assert await why(f"ws://127.0.0.1:{port}") is None
        assert await why(f"wss://127.0.0.1:{port}") is None


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_server_that_answers_is_not_asked_again(tmp_path: Path, scheme: str):
    """As with 429: asking once more would be one more that is too many."""
    asked = []

    def refuse(connection: ServerConnection, _: Request) -> Response:
        asked.append(connection.remote_address)
        return connection.respond(429, "Too often.")

    made = pair(tmp_path)
    tls = server_context(made.cert, made.key) if scheme == "wss" else None
    async with serve(_listen, "127.0.0.1", 0, ssl=tls, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        assert await why(f"{scheme}://127.0.0.1:{port}", made.cert) is None

    assert len(asked) == 1


async def test_connection_that_broke_later_is_another_matter(tmp_path: Path):
    """Over wss:// that works, an error of the socket has nothing to do with TLS."""
    async with proxy(pair(tmp_path)) as port:
        assert await explain(ConnectionResetError(), f"wss://127.0.0.1:{port}") is None


@pytest.mark.parametrize("url", ["wss://", "http://host", "wss://host:port", "wss://[::1"])
async def test_url_that_leads_nowhere_is_another_matter(url: str):
    assert await explain(ConnectionResetError(), url) is None
