"""The client of one server: what is sent together, and how long all its replies may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import exceptions as foreign
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from caption_flow.queue.server import Command, Server
from tests.redis_server import RedisServer

ADD: Command = ("XADD", "s", "*", "a", "b"), {}
READ: Command = ("XRANGE", "s", "-", "+"), {}
WRONG: Command = ("XADD", "text", "*", "a", "b"), {}  # it is no stream
UNKNOWN: Command = ("NOSUCH", "s"), {}


@asynccontextmanager
async def client(url: str, patience: float = 10.0) -> AsyncIterator[Server]:
    never = Retry(NoBackoff(), 0)
    pool = ConnectionPool.from_url(url, protocol=2, socket_timeout=None, retry=never)
    async with Server(pool, patience=patience) as server:
        yield server


@pytest.fixture
async def server(own_server: RedisServer) -> AsyncIterator[Server]:
    async with client(own_server.url) as opened:
        await opened.set("text", "no stream")
        yield opened


async def test_replies_have_the_shapes_that_commands_have_alone(server: Server):
    await server.send([ADD])

    [told] = await server.send([READ])
    [at_once] = await server.send_at_once([READ])

    assert told == at_once == await server.xrange("s")


async def test_error_stands_in_the_place_of_its_command(server: Server):
    first, wrong, last = await server.send([ADD, WRONG, ADD])

    assert isinstance(wrong, foreign.ResponseError)
    assert b"-" in first
    assert b"-" in last


async def test_command_that_fails_in_a_transaction_leaves_the_others_done(server: Server):
    first, wrong, last = await server.send_at_once([ADD, WRONG, ADD])

    assert isinstance(wrong, foreign.ResponseError)
    assert await server.xlen("s") == len([first, last])


async def test_transaction_that_is_refused_says_of_which_command(server: Server):
    with pytest.raises(foreign.ResponseError, match="unknown command"):
        await server.send_at_once([ADD, UNKNOWN, ADD])

    assert await server.xlen("s") == 0


async def test_reply_that_comes_too_late_is_not_that_of_the_next_command(
    server: Server, own_server: RedisServer
):
    await server.set("late", "1")
    server.patience = 0.2
    own_server.pause()
    with pytest.raises(TimeoutError):
        await server.send([(("GET", "late"), {}), (("GET", "late"), {})])
    with pytest.raises(TimeoutError):
        await server.get("late")
    own_server.resume()
    server.patience = 10.0

    assert await server.get("text") == b"no stream"
    assert await server.send([(("STRLEN", "text"), {})]) == [len("no stream")]


async def test_command_that_is_cut_short_takes_no_reply_of_another(
    server: Server, own_server: RedisServer
):
    await server.send([ADD])
    own_server.pause()
    asking = asyncio.create_task(server.send([READ, READ]))
    await asyncio.sleep(0.1)  # it is on its way, or will be cut short before
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    own_server.resume()

    assert await server.send([(("GET", "text"), {})]) == [b"no stream"]


async def test_time_is_for_all_replies_together():
    """A server that trickles is not waited for once for each reply."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if line.strip() == b"CLIENT":  # the greetings of a new connection
                    writer.write(b"+OK\r\n")
                elif line.strip() == b"PING":
                    await asyncio.sleep(0.1)
                    writer.write(b"+PONG\r\n")
                    await writer.drain()
        except ConnectionError:
            pass  # it was given up
        finally:
            writer.close()

    listening = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with listening:
        url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with client(url, patience=0.5) as server:
            assert await server.send([(("PING",), {})]) == [True]
            with pytest.raises(TimeoutError):
                await server.send([(("PING",), {})] * 20)
