"""Connections: commands of a process with many clients take turns, rather than fail."""

import asyncio

from caption_flow.queue.connect import connect
from tests.redis_server import RedisServer


async def test_more_commands_than_connections_take_turns(each_server: RedisServer):
    async with connect(each_server.url, role="turns", most=3) as connections:
        await asyncio.gather(*(connections.commands.ping() for _ in range(200)))
        clients = await connections.commands.client_list()

    assert len([each for each in clients if each["name"] == "caption-flow:turns"]) <= 3
