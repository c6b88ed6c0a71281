"""Connections: which URLs are taken, what they reach, and that no command is repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caption_flow.errors import ConfigError, QueueUnreachable
from caption_flow.queue.connect import BLOCK_MS, Connections, connect, redact, translated
from tests.redis_server import RedisServer
from tests.talking import Talk, talking


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server of our own making, which talks as the test wants."""
    async with talking(talk) as port:
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("localhost:6379", "must begin with"),
        ("http://localhost", "must begin with"),
        ("redis://", "names no host"),
        ("redis://host:port", "is no URL"),
        ("redis://host/books", "number of a database"),
        ("redis://host?db=x", "number as db"),
        ("redis://host?socket_timeout=1", 'the option "socket_timeout"'),
        ("redis://host?ssl_ca_certs=/ca.pem", 'the option "ssl_ca_certs"'),
        ("redis://:a#b@host", "%23"),
        ("redis://bob:7/b@host", "%2F"),
        ("redis://bob:7?b@host", "%3F"),
        ("redis://a:7000,:7001/0", "names no host"),
        ("redis://a:7000,b:port/0", "is no URL"),
        ("redis://a:7000,b:7001/2", "only the database 0"),
        ("redis://a,b?db=1", "only the database 0"),
        ("unix://run/redis.sock", "whole path"),
        ("unix://", "whole path"),
    ],
)
def test_wrong_url_is_answered_in_its_own_words(url: str, mistake: str):
    with pytest.raises(ConfigError, match=r"^redis: ") as raised:
        connect(url, role="test")

    assert mistake in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://bob:hunter2@host/books",
        "redis://bob:hun/ter2@host",
        "redis://bob:hunter2/@host:6379",
        "redis://bob:7hunter2#@host",
        "redis://bob:7?hunter2@host",
        "bob:hunter2@host",
        "http://hunter2@host",
        "redis://host?password=hunter2",
        "redis://bob:hunter2@a:7000,b:7001/2",
        "unix:///redis.sock?password=hunter2&db=1",
    ],
)
def test_wrong_url_keeps_its_password_secret(url: str):
    with pytest.raises(ConfigError) as raised:
        connect(url, role="test")

    assert "ter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://bob:secret@host", "redis://bob:***@host"),
        ("redis://:secret@host", "redis://:***@host"),
        ("redis://:a@b@host", "redis://:***@host"),
        ("redis://:a://b@host", "redis://:***@host"),
        ("redis://secret@host", "redis://***@host"),
        ("unix:///tmp/a@b.sock", "unix:///tmp/a@b.sock"),
    ],
)
def test_shown_url_has_all_but_the_password(url: str, shown: str):
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url", ["rediss://host?ssl_ca_certs=/ca.pem&db=3", "redis://host/2", "unix://bob:x@/run/r?db=1"]
)
async def test_good_url_is_taken(url: str):
    async with connect(url, role="test") as connections:
        assert connections.host in {"host:6379", "/run/r"}


async def test_connections_carry_the_role(connections: Connections, redis_server: RedisServer):
    await connections.commands.ping()

    assert "name=caption-flow:test " in redis_server.cli("CLIENT", "LIST")


async def test_closed_connections_leave_nothing_open(redis_url: str, redis_server: RedisServer):
    async with connect(redis_url, role="brief") as connections:
        await connections.commands.ping()
        await connections.blocking.ping()

    assert "brief" not in redis_server.cli("CLIENT", "LIST")


async def test_answers_are_bytes_in_the_shapes_of_resp2(connections: Connections):
    await connections.commands.xadd("s", {"image": b"\xff\xd8"})

    [(stream, [(_, fields)])] = await connections.commands.xread({"s": "0"})

    assert (stream, fields) == (b"s", {b"image": b"\xff\xd8"})


async def test_database_of_the_url_is_used(redis_url: str, redis_server: RedisServer):
    async with connect(redis_url.removesuffix("0") + "5", role="test") as connections:
        await connections.commands.set("k", "v")

    assert redis_server.cli("-n", 5, "GET", "k") == "v"


async def test_unix_socket_is_reached_at_a_path_of_any_letters(tmp_path: Path):
    socket = tmp_path / "a b@c.sock"
    with RedisServer(tmp_path / "data", "--unixsocket", str(socket)):
        async with connect(f"unix://{str(socket).replace(' ', '%20')}?db=0", role="x") as opened:
            assert await opened.commands.ping()


async def test_password_is_used(own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "requirepass", "p@ss/word")
    url = f"redis://:p%40ss%2Fword@127.0.0.1:{own_server.port}"
    async with connect(url, role="test") as connections:
        assert await connections.commands.ping()


async def test_blocking_reader_outlasts_its_block(connections: Connections):
    await connections.commands.xgroup_create("s", "g", mkstream=True)

    answer = await connections.blocking.xreadgroup("g", "me", {"s": ">"}, block=BLOCK_MS)

    assert not answer


async def test_lost_answer_is_an_error_and_not_a_second_command():
    """A command whose answer was lost may have worked; only its author knows about repeating."""
    seen: list[bytes] = []

    async def take_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = b""
        while line != b"XADD":
            line = (await reader.readline()).strip()
            seen.append(line)
            if line == b"CLIENT":  # the greetings of a new connection
                writer.write(b"+OK\r\n")
        writer.close()

    async with listening(take_and_hang_up) as url, connect(url, role="test") as connections:
        with pytest.raises(QueueUnreachable), translated():
            await connections.commands.xadd("s", {"a": "b"})

    assert seen.count(b"XADD") == 1


async def test_connection_broken_while_idle_is_made_anew(own_server: RedisServer):
    async with connect(own_server.url, role="test") as connections:
        await connections.commands.set("k", "v")
        await asyncio.to_thread(own_server.restart)

        assert await connections.commands.get("k") == b"v"
