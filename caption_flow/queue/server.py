"""Queue, a client of one server: commands that are sent together, and how long they are waited for.

redis-py sets a timer for each reply, and sends in a task of its own to be able to cut that short.
Of a pipeline of small replies that is most of the cost. So its connections know no time here, and
one timer stands around a message and all its replies.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from redis import exceptions as foreign
from redis.asyncio import Connection, ConnectionPool, Redis

Arguments: TypeAlias = tuple[Any, ...]
Command: TypeAlias = tuple[Arguments, Mapping[str, Any]]

_FOR_CACHES = "keys"  # an option that names the keys of a command


class Server(Redis):
    """Sends to one server and waits for its replies, so many seconds for all of one message.

    A connection whose reply did not come in time is closed: it might come later.
    """

    def __init__(self, pool: ConnectionPool, *, patience: float) -> None:
        """`pool`: of connections without a timeout of their own; it is ours from now on."""
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self.patience = patience

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Have a command done."""
        plain: Any = super()
        async with asyncio.timeout(self.patience):
            return await plain.execute_command(*args, **options)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Have commands done by one message; answers errors in their places."""
        replies = await self._replies([args for args, _ in commands])
        return self._read(commands, replies)

    async def send_at_once(self, commands: Sequence[Command]) -> list[Any]:
        """Have commands done with no other between them; one that is refused refuses all."""
        bare = [args for args, _ in commands]
        replies = await self._replies([("MULTI",), *bare, ("EXEC",)])
        if isinstance(replies[-1], Exception):
            raise next(reply for reply in replies if isinstance(reply, Exception))
        return self._read(commands, replies[-1])

    async def _replies(self, commands: Sequence[Arguments]) -> list[Any]:
        pool: Any = self.connection_pool
        async with asyncio.timeout(self.patience):
            connection: Connection = await pool.get_connection()
            try:
                await connection.send_packed_command(connection.pack_commands(commands))
                return [await _reply(connection) for _ in commands]
            finally:
                await pool.release(connection)

    def _read(self, commands: Sequence[Command], replies: Sequence[Any]) -> list[Any]:
        """Bring replies into the shapes in which redis-py answers these commands."""
        return [
            reply if isinstance(reply, Exception) else self._shaped(args[0], options, reply)
            for (args, options), reply in zip(commands, replies, strict=True)
        ]

    def _shaped(self, name: str, options: Mapping[str, Any], reply: Any) -> Any:
        shape = self.response_callbacks.get(name)
        if shape is None:
            return reply
        return shape(reply, **{k: v for k, v in options.items() if k != _FOR_CACHES})


async def _reply(connection: Connection) -> Any:
    """Read one reply; what breaks the connection is raised, and closes it."""
    try:
        return await connection.read_response()
    except foreign.ResponseError as exc:
        return exc
