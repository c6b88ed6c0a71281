"""Queue, routing: a client of one server, or of all nodes of a Redis Cluster.

Which of the two it is, the first MOVED tells. A command goes to the node of its first key, so
what it touches must lie in one slot. What a node sent elsewhere was not done, and is sent on;
whatever may have been done is never repeated.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from redis import exceptions as foreign
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from caption_flow.queue.border import host_of, known_host
from caption_flow.queue.nodes import SILENT, Nodes, Opener
from caption_flow.queue.server import Arguments, Command, Server

_Send: TypeAlias = Callable[[Server], Awaitable[Any]]

_TURNS = 40  # tries of one command that no node has done
_PAUSE = 0.05  # seconds, where its keys are on their way between two nodes

_KEYLESS = frozenset({"TIME", "INFO", "PING", "CONFIG GET", "SCRIPT LOAD", "CLUSTER", "FLUSHALL"})
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
_AFTER = {"XREAD": b"STREAMS", "XREADGROUP": b"STREAMS", "SCAN": b"MATCH"}  # stands the key

_ELSEWHERE = (foreign.AskError, foreign.TryAgainError)  # MOVED is a kind of ASK
_CHANGED = (*SILENT, foreign.ClusterDownError, foreign.ReadOnlyError, RuntimeError)


class RoutedClient(Server):
    """A client that routes as soon as it must; of several `seeds`, from the start."""

    def __init__(self, seeds: Sequence[str], opener: Opener) -> None:
        self._seeds = tuple(seeds)
        self._opener = opener
        self._nodes = Nodes(seeds, opener) if len(seeds) > 1 else None
        first = opener(seeds[0])
        super().__init__(first.connection_pool, patience=first.patience)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Have a command done where its key is."""
        try:
            return await self._answered(args, options)
        except foreign.ResponseError as exc:
            # A wait ended since the key left the node, or is gone: the next answer tells which.
            if not str(exc).startswith("UNBLOCKED"):
                raise
        return await self._answered(args, options)

    def pipeline(
        self,
        transaction: bool = True,  # noqa: FBT001, FBT002 - redis-py's signature
        shard_hint: str | None = None,
    ) -> "RoutedPipeline":
        """Gather commands, to be sent together; those of a transaction lie in one slot."""
        if shard_hint:
            raise NotImplementedError("a command goes where its key is")
        return RoutedPipeline(self, transaction=transaction)

    async def masters(self) -> Sequence[Redis]:
        """Give a client for each master of the cluster."""
        return await self._route().masters()

    async def aclose(
        self,
        close_connection_pool: bool | None = None,  # noqa: FBT001 - redis-py's signature
    ) -> None:
        """Close the connections to every node."""
        if self._nodes is not None:
            await self._nodes.aclose()
        await super().aclose(close_connection_pool)

    async def together(self, commands: Sequence[Command]) -> list[Any]:
        """Have commands done by one message to each node; answers errors in their places."""
        if self._nodes is None:
            replies = await self.send(commands)
        else:
            replies = await self._spread(self._nodes, commands)
        for place, reply in enumerate(replies):
            if isinstance(reply, _ELSEWHERE):
                self._route()
                replies[place] = await self._answer(*commands[place])
        return replies

    async def at_once(self, commands: Sequence[Command]) -> list[Any]:
        """Have commands of one slot done with no other between them; answers as `together`."""
        if self._nodes is None:
            try:
                return await self.send_at_once(commands)
            except foreign.AskError:  # one that is refused, refuses all
                self._route()
        return await self._routed_at_once(commands)

    def _route(self) -> Nodes:
        if self._nodes is None:
            self._nodes = Nodes(self._seeds, self._opener)
        return self._nodes

    async def _answered(self, args: Arguments, options: Mapping[str, Any]) -> Any:
        if self._nodes is None:
            plain: Any = super()
            try:
                return await plain.execute_command(*args, **options)
            except foreign.AskError:
                self._route()
        return await self._routed(args, options)

    async def _routed(self, args: Arguments, options: Mapping[str, Any]) -> Any:
        async def done(node: Any) -> Any:
            return await node.execute_command(*args, **options)

        async def done_when_asked(node: Server) -> Any:
            # Said on the same connection just before; else it lets another command in.
            _, reply = await node.send([(("ASKING",), {}), (args, options)])
            if isinstance(reply, Exception):
                raise reply
            return reply

        return await self._brought(key_of(args), done, done_when_asked)

    async def _routed_at_once(self, commands: Sequence[Command]) -> list[Any]:
        async def done(node: Server) -> list[Any]:
            return await node.send_at_once(commands)

        first, _ = commands[0]
        replies: list[Any] = await self._brought(key_of(first), done)
        return replies

    async def _brought(self, key: Any, send: _Send, ask: _Send | None = None) -> Any:
        """Send to the node of a key, until one has done it; by `ask` to where its keys go.

        Without `ask` that is waited for: ASKING is good for one command only.
        """
        nodes, way = self._route(), send
        node = await nodes.serving(key)
        for _ in range(_TURNS):
            try:
                return await way(node)
            except _ELSEWHERE as exc:
                refusal: Exception = exc
                if isinstance(exc, foreign.MovedError):
                    node, way = nodes.redirected(exc, node), send
                elif isinstance(exc, foreign.AskError) and ask:
                    node, way = nodes.redirected(exc, node), ask
                else:
                    await asyncio.sleep(_PAUSE)
                    node, way = await nodes.serving(key), send
            except _CHANGED:
                nodes.doubt()
                known_host.set(host_of(node))
                raise
        known_host.set(host_of(node))
        raise refusal

    async def _spread(self, nodes: Nodes, commands: Sequence[Command]) -> list[Any]:
        places: dict[Server, list[int]] = defaultdict(list)
        for place, (args, _) in enumerate(commands):
            places[await nodes.serving(key_of(args))].append(place)
        # All are waited for, also where one fails: nothing goes on behind the caller's back.
        answered = await asyncio.gather(
            *(node.send([commands[place] for place in at]) for node, at in places.items()),
            return_exceptions=True,
        )
        replies: list[Any] = [None] * len(commands)
        for (node, at), told in zip(places.items(), answered, strict=True):
            if isinstance(told, BaseException):
                nodes.doubt()
                known_host.set(host_of(node))
                raise told
            if any(isinstance(reply, _CHANGED) for reply in told):
                nodes.doubt()
            for place, reply in zip(at, told, strict=True):
                replies[place] = reply
        return replies

    async def _answer(self, args: Arguments, options: Mapping[str, Any]) -> Any:
        try:
            return await self._routed(args, options)
        except foreign.RedisError as exc:
            return exc


class RoutedPipeline(Pipeline):
    """Commands that are sent together, each to the node of its key."""

    def __init__(self, client: RoutedClient, *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._send = client.at_once if transaction else client.together

    async def execute(
        self,
        raise_on_error: bool = True,  # noqa: FBT001, FBT002 - redis-py's signature
    ) -> list[Any]:
        """Send them all; answers in the order of the commands."""
        commands, self.command_stack = self.command_stack, []
        replies = await self._send(commands) if commands else []
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        if failed and raise_on_error:
            raise failed[0]
        return replies


def key_of(args: Arguments) -> Any:
    """Find the first key of a command as redis-py spells it; of SCAN, the pattern: it has the tag.

    Only the commands that we use are known.
    """
    name = args[0]
    if name in _KEYLESS:
        return None
    if name in _SCRIPTS:
        return args[3] if int(args[2]) else None
    if name in _AFTER:
        return args[args.index(_AFTER[name]) + 1] if _AFTER[name] in args else None
    return args[1]
