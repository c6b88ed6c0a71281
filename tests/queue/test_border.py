"""The border: each way in which Redis fails has a name of ours and a sentence without payload."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis import exceptions as foreign

from caption_flow.errors import CaptionFlowError, QueueFull, QueueUnfit, QueueUnreachable
from caption_flow.queue.connect import (
    Connections,
    GroupGone,
    answers,
    connect,
    translated,
    translation,
)
from caption_flow.queue.server import Server
from tests.redis_server import RedisServer, free_port
from tests.talking import talking


@pytest.fixture
async def own(own_server: RedisServer) -> AsyncIterator[Connections]:
    async with connect(own_server.url, role="test") as opened:
        yield opened


async def test_no_server_is_unreachable():
    url = f"redis://127.0.0.1:{free_port()}"
    async with connect(url, role="test") as connections:
        with pytest.raises(QueueUnreachable, match=r"No answer from 127\.0\.0\.1:"), translated():
            await connections.commands.ping()


async def test_no_socket_is_unreachable():
    async with connect("unix:///nowhere/redis.sock", role="test") as connections:
        with pytest.raises(QueueUnreachable, match=r"from /nowhere/redis\.sock"), translated():
            await connections.commands.ping()


async def test_server_that_dies_while_we_block_is_unreachable(
    own: Connections, own_server: RedisServer
):
    with translated():
        await own.commands.xgroup_create("s", "g", mkstream=True)
        reading = asyncio.ensure_future(own.blocking.xreadgroup("g", "me", {"s": ">"}, block=2000))
        await until_blocked(own)
    own_server.kill()

    with pytest.raises(QueueUnreachable), translated():
        await reading


def test_connection_that_uvloop_finds_closed_is_unreachable(redis_server: RedisServer):
    """It says so with an error of its own kind."""

    async def write_to_the_closed() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", redis_server.port)
        writer.transport.abort()
        await asyncio.sleep(0)
        with translated():
            writer.transport.write(b"PING")

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner, pytest.raises(QueueUnreachable, match="No answer from"):
        runner.run(write_to_the_closed())


async def test_silent_server_is_unreachable(own: Connections, own_server: RedisServer):
    await own.commands.ping()
    assert isinstance(own.commands, Server)
    own.commands.patience = 0.1
    own_server.pause()

    with pytest.raises(QueueUnreachable, match="did not answer in time"), translated():
        await own.commands.ping()


async def test_full_server_is_full(own: Connections):
    await own.commands.config_set("maxmemory", "1")

    with pytest.raises(QueueFull, match="no memory left"), translated():
        await own.commands.xadd("s", {"a": "b"})


async def test_full_server_is_full_to_a_script_too(own: Connections):
    await own.commands.config_set("maxmemory", "1")

    with pytest.raises(QueueFull), translated():
        await own.commands.eval("return redis.call('XADD', KEYS[1], '*', 'a', 'b')", 1, "s")


async def test_refusal_in_a_pipeline_quotes_no_payload(own: Connections):
    """Neither our sentence nor the cause that a traceback shows."""
    await own.commands.config_set("maxmemory", "1")
    pipe = own.commands.pipeline(transaction=False)
    pipe.xadd("s", {"image": "pixels"})

    with pytest.raises(QueueFull) as raised, translated():
        await pipe.execute()

    assert "pixels" not in f"{raised.value} {raised.value.__cause__}"


async def test_untranslated_error_quotes_no_payload(connections: Connections):
    with pytest.raises(foreign.ResponseError, match="unknown command") as raised, translated():
        await connections.commands.execute_command("NOSUCH", "pixels")

    assert "pixels" not in str(raised.value)


async def test_missing_group_is_gone(connections: Connections):
    with pytest.raises(GroupGone), translated():
        await connections.commands.xreadgroup("g", "me", {"s": ">"})


async def test_stream_that_was_there_a_moment_ago_is_gone(connections: Connections):
    with pytest.raises(GroupGone), translated():
        await connections.commands.xinfo_consumers("s", "g")


async def test_missing_group_in_a_pipeline_is_gone(connections: Connections):
    pipe = connections.commands.pipeline(transaction=False)
    pipe.xreadgroup("g", "me", {"s": ">"})

    with pytest.raises(GroupGone):
        await answers(pipe)


async def test_pipeline_without_errors_gives_its_answers(connections: Connections):
    pipe = connections.commands.pipeline(transaction=False)
    pipe.set("k", "v")
    pipe.get("k")

    assert await answers(pipe) == [True, b"v"]


async def test_missing_group_in_a_script_is_gone(connections: Connections):
    with pytest.raises(GroupGone), translated():
        await connections.commands.eval("return redis.call('XPENDING', KEYS[1], 'g')", 1, "s")


@pytest.mark.parametrize("accident", ["FLUSHALL", "DEL s", "XGROUP DESTROY s g"])
async def test_group_lost_while_we_block_is_gone(connections: Connections, accident: str):
    await connections.commands.xgroup_create("s", "g", mkstream=True)
    reading = asyncio.ensure_future(
        connections.blocking.xreadgroup("g", "me", {"s": ">"}, block=2000)
    )
    await until_blocked(connections)
    await connections.commands.execute_command(*accident.split())

    with pytest.raises(GroupGone), translated():
        await reading


async def test_replica_without_its_primary_is_named(own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "replica-serve-stale-data", "no")
    own_server.cli("REPLICAOF", "127.0.0.1", free_port())
    async with connect(own_server.url, role="test") as connections:
        with pytest.raises(QueueUnreachable, match="lost its primary"), translated():
            await connections.commands.get("a")


async def test_wrong_password_is_unfit(own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "requirepass", "right")
    url = f"redis://:wrong@127.0.0.1:{own_server.port}"
    async with connect(url, role="test") as connections:
        with pytest.raises(QueueUnfit, match="user or password") as raised, translated():
            await connections.commands.ping()

    assert "wrong" not in str(raised.value)


async def test_missing_password_is_unfit(own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "requirepass", "right")
    async with connect(own_server.url, role="test") as connections:
        with pytest.raises(QueueUnfit, match="user or password"), translated():
            await connections.commands.ping()


async def test_forbidden_command_is_unfit(own_server: RedisServer):
    own_server.cli("ACL", "SETUSER", "bob", "on", ">p", "~*", "+ping", "+client")
    url = f"redis://bob:p@127.0.0.1:{own_server.port}"
    async with connect(url, role="test") as connections:
        with pytest.raises(QueueUnfit, match="forbids"), translated():
            await connections.commands.get("k")


async def test_missing_database_is_unfit(redis_server: RedisServer):
    url = redis_server.url.removesuffix("0") + "99"
    async with connect(url, role="test") as connections:
        with pytest.raises(QueueUnfit, match="no database"), translated():
            await connections.commands.ping()


async def test_foreign_key_of_our_name_is_unfit(connections: Connections):
    await connections.commands.set("s", "mine")

    with pytest.raises(QueueUnfit, match="not ours"), translated():
        await connections.commands.xadd("s", {"a": "b"})


async def test_replica_is_unreachable_for_writes(own: Connections):
    await own.commands.replicaof("127.0.0.1", str(free_port()))

    with pytest.raises(QueueUnreachable, match="replica"), translated():
        await own.commands.xadd("s", {"a": "b"})


async def test_other_protocol_is_no_redis():
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with talking(greet) as port:
        url = f"redis://127.0.0.1:{port}"
        async with connect(url, role="test") as connections:
            with pytest.raises(QueueUnfit, match="is no Redis"), translated():
                await connections.commands.ping()


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (foreign.BusyLoadingError("Redis is loading the dataset in memory"), QueueUnreachable),
        (foreign.ResponseError("MISCONF Errors writing to the AOF file"), QueueUnreachable),
        (foreign.ResponseError("BUSY Redis is busy running a script"), QueueUnreachable),
        (foreign.ResponseError("NOREPLICAS Not enough good replicas"), QueueUnreachable),
        (foreign.ClusterDownError("The cluster is down"), QueueUnreachable),
        (foreign.MovedError("866 10.0.0.2:6379"), QueueUnreachable),
        (ConnectionResetError(104, "reset by peer"), QueueUnreachable),
        (TimeoutError(), QueueUnreachable),
    ],
)
def test_rare_error_has_its_name(error: Exception, ours: type[CaptionFlowError]):
    assert type(translation(error)) is ours


@pytest.mark.parametrize(
    "error", [foreign.NoScriptError("No matching script"), foreign.ResponseError("ERR syntax")]
)
def test_error_of_a_programmer_stays_as_it_is(error: Exception):
    assert translation(error) is None


def test_sentence_names_the_host_it_is_given():
    with pytest.raises(QueueUnreachable, match="elsewhere:1"), translated("elsewhere:1"):
        raise foreign.ConnectionError("gone")


async def until_blocked(connections: Connections) -> None:
    """Wait until the server holds a blocked client; each question takes a turn of the loop."""
    while not (await connections.commands.info("clients"))["blocked_clients"]:
        pass
