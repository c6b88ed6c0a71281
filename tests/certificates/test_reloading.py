"""A pair that is renewed in place is shown to new connections, and old ones go on."""

import asyncio
import logging
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from caption_flow.certificates.contexts import client_context
from caption_flow.certificates.reloading import Reloading
from caption_flow.errors import CertificateUnfit
from tests.certificates.pairs import DAY, Pair, pair
from tests.certificates.serving import WORD, connected, serving
from tests.roles import until

QUICK = 0.02  # seconds between two looks


@asynccontextmanager
async def reloading(made: Pair) -> AsyncIterator[int]:
    async with Reloading(made.cert, made.key, seconds=QUICK) as live, serving(live.context) as port:
        yield port


@pytest.fixture
def made(tmp_path: Path) -> Pair:
    return pair(tmp_path)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "caption_flow.certificates.reloading"):
        yield caplog


def replace(old: Pair, new: Pair) -> None:
    new.key.replace(old.key)
    new.cert.replace(old.cert)


async def shown_at(port: int) -> int:
    async with connected(port, None) as connection:
        return connection.serial


async def until_shown(port: int, serial: int) -> None:
    async def shown() -> bool:
        return await shown_at(port) == serial

    await until(shown)


async def until_logged(logged: pytest.LogCaptureFixture, words: str) -> None:
    await until(lambda: words in logged.text)


@pytest.mark.parametrize("bits", [None, 2048])
async def test_new_connections_get_the_new_certificate(
    tmp_path: Path, made: Pair, bits: int | None
):
    new = pair(tmp_path, "new", bits=bits)
    serial, old_cert = new.serial, tmp_path / "old.pem"
    shutil.copyfile(made.cert, old_cert)
    async with reloading(made) as port, connected(port, old_cert) as before:
        replace(made, new)
        await until_shown(port, serial)

        assert await before.works()
        async with connected(port, made.cert, name="localhost") as after:
            assert await after.works()
            assert after.serial == serial


def test_loop_of_the_proxy_gives_new_connections_the_new_certificate(tmp_path: Path, made: Pair):
    new = pair(tmp_path, "new")
    serial = new.serial

    async def renewed() -> None:
        async with reloading(made) as port:
            replace(made, new)
            await until_shown(port, serial)

    uvloop.run(renewed())


async def test_session_from_before_is_taken_up_or_begun_anew(tmp_path: Path, made: Pair):
    """A client that comes back with what it kept of an older handshake gets in."""
    new = pair(tmp_path, "new")
    serial = new.serial
    context = client_context(verify_ssl=False)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with reloading(made) as port:
        session = await asyncio.to_thread(_session, context, port, None)
        replace(made, new)
        await until_shown(port, serial)

        await asyncio.to_thread(_session, context, port, session)


def _session(
    context: ssl.SSLContext, port: int, former: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, session=former) as connection,
    ):
        connection.sendall(b"?\n")
        assert connection.recv(len(WORD)) == WORD
        return connection.session


async def test_links_that_are_turned_are_seen(tmp_path: Path):
    """As certbot renews: new files beside the old ones, and links to them."""
    pair(tmp_path, "1")
    second = pair(tmp_path, "2")
    links = Pair(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    _link(links, tmp_path, "1")
    async with reloading(links) as port:
        _link(links, tmp_path, "2")

        await until_shown(port, second.serial)


def _link(links: Pair, folder: Path, number: str) -> None:
    for link, file in ((links.key, f"{number}.key"), (links.cert, f"{number}.pem")):
        fresh = folder / "fresh"
        fresh.symlink_to(folder / file)
        fresh.replace(link)


async def test_files_written_over_in_place_are_seen(tmp_path: Path, made: Pair):
    new = pair(tmp_path, "new")
    async with reloading(made) as port:
        made.cert.write_bytes(new.cert.read_bytes())
        made.key.write_bytes(new.key.read_bytes())

        await until_shown(port, new.serial)


async def test_bad_new_pair_is_told_once_and_the_old_one_kept(
    tmp_path: Path, made: Pair, logged: pytest.LogCaptureFixture
):
    serial = made.serial
    async with reloading(made) as port:
        replace(made, pair(tmp_path, "new", begins=-2 * DAY, ends=-DAY))
        await until_logged(logged, "expired on")
        for _ in range(5):
            assert await shown_at(port) == serial
            await asyncio.sleep(QUICK)

    assert logged.text.count("go on getting the certificate from before") == 1


async def test_key_that_comes_late_is_waited_for(
    tmp_path: Path, made: Pair, logged: pytest.LogCaptureFixture
):
    """Nothing is shown of a pair whose files do not fit; when they do, it is."""
    new = pair(tmp_path, "new")
    serial, old = new.serial, made.serial
    async with reloading(made) as port:
        new.cert.replace(made.cert)
        await until_logged(logged, "is not the key to")
        assert await shown_at(port) == old
        new.key.replace(made.key)

        await until_shown(port, serial)

    assert f"serial {serial:x}" in logged.text


async def test_files_that_are_gone_for_a_while_harm_nothing(
    tmp_path: Path, made: Pair, logged: pytest.LogCaptureFixture
):
    new, serial = pair(tmp_path, "new"), made.serial
    async with reloading(made) as port:
        made.cert.unlink()
        await until_logged(logged, "cannot be read")
        assert await shown_at(port) == serial
        replace(made, new)

        await until_shown(port, Pair(made.cert, made.key).serial)


async def test_files_that_are_touched_are_not_spoken_of(
    made: Pair, logged: pytest.LogCaptureFixture
):
    async with reloading(made) as port:
        os.utime(made.cert)
        await asyncio.sleep(10 * QUICK)
        assert await shown_at(port) == made.serial

    assert logged.text == ""


async def test_bad_pair_is_refused_at_the_start(tmp_path: Path, made: Pair):
    with pytest.raises(CertificateUnfit, match="is not the key to"):
        Reloading(made.cert, pair(tmp_path, "other").key)
