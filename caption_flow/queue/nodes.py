"""Queue, the nodes of a Redis Cluster: which of them serves a key, and a client for each.

The nodes say so themselves. What they said is doubted whenever one fails, and asked for again
before the next command, each time of another node: one that was cut off may tell an old story.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from redis import exceptions as foreign
from redis.asyncio import Redis
from redis.crc import key_slot

from caption_flow.queue.server import Server

Address: TypeAlias = tuple[str, int]
Opener: TypeAlias = Callable[[str], Server]  # of a client that knows one server, by its URL

SILENT = (foreign.ConnectionError, foreign.TimeoutError, OSError)

_URL = re.compile(r"(?s)(\w+://)((?:[^/?#]*@)?)([^/?#@]*)(.*)")
_NOT_SERVED = "CLUSTERDOWN Hash slot not served"  # as a node says it


class Nodes:
    """The masters of a cluster, found by way of `seeds`, URLs of any of its nodes."""

    def __init__(self, seeds: Sequence[str], opener: Opener) -> None:
        self._seeds = tuple(seeds)
        self._open = opener
        self._clients: dict[Address, Server] = {}
        self._asked: dict[str, Server] = {}  # seeds, by URL
        self._serving: dict[int, Address] = {}  # by slot
        self._doubtful = True
        self._turn = 0
        self._looking = asyncio.Lock()

    async def serving(self, key: str | bytes | None) -> Server:
        """Give the client of the node that has a key; without a key, of any master."""
        await self._know()
        slots = self._serving
        slot = min(slots, default=0) if key is None else key_slot(_bytes(key))
        if slot not in slots:
            self.doubt()
            raise foreign.ClusterDownError(_NOT_SERVED)
        return self.at(*slots[slot])

    async def masters(self) -> list[Server]:
        """Give the client of each node that serves anything."""
        await self._know()
        return [self.at(*address) for address in dict.fromkeys(self._serving.values())]

    def at(self, host: str, port: int) -> Server:
        """Give the client of a node."""
        client = self._clients.get((host, port))
        if client is None:
            client = self._clients[host, port] = self._open(url_at(self._seeds[0], host, port))
        return client

    def redirected(self, error: foreign.AskError, by: Server) -> Server:
        """Give the client of the node that another one named; MOVED is remembered."""
        address = (error.host or _host(by), error.port)  # nameless: at the same host
        if isinstance(error, foreign.MovedError):
            self._serving[error.slot_id] = address
            self._doubtful = True  # seldom does one slot move alone
        return self.at(*address)

    def doubt(self) -> None:
        """Ask anew who serves what, before the next command."""
        self._doubtful = True

    async def aclose(self) -> None:
        """Close every client."""
        for client in [*self._clients.values(), *self._asked.values()]:
            await client.aclose()

    async def _know(self) -> None:
        if not self._doubtful:
            return
        async with self._looking:
            if self._doubtful:
                await self._look()

    async def _look(self) -> None:
        """Ask one node after the other who serves what, until one answers."""
        silence: Exception = foreign.ConnectionError("no node is known")
        for node in self._in_turn():
            asked: Any = node
            try:
                told = await asked.execute_command("CLUSTER", "SLOTS")
            except SILENT as exc:
                silence = exc
                continue
            self._serving = _read(told, _host(node))
            self._doubtful = False
            return
        raise silence

    def _in_turn(self) -> list[Server]:
        for url in self._seeds:
            if url not in self._asked:
                self._asked[url] = self._open(url)
        serving = set(self._serving.values())  # who was replaced may be away for long
        masters = [client for address, client in self._clients.items() if address in serving]
        known = [*masters, *self._asked.values()]
        self._turn = (self._turn + 1) % len(known)
        return known[self._turn :] + known[: self._turn]


def seeds_of(url: str) -> list[str]:
    """Take a URL of several hosts, with commas between them, apart into one URL for each."""
    scheme, who, hosts, rest = _taken_apart(url)
    return [f"{scheme}{who}{host}{rest}" for host in hosts.split(",")]


def url_at(url: str, host: str, port: int) -> str:
    """Name another server, to be reached as this one is."""
    scheme, who, _, rest = _taken_apart(url)
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}{who}{named}:{port}{rest}"


def _taken_apart(url: str) -> tuple[str, ...]:
    found = _URL.fullmatch(url)
    return found.groups() if found else ("", "", url, "")


def _read(told: Any, asked: str) -> dict[int, Address]:
    """Read an answer to CLUSTER SLOTS: ranges of slots, each with its master first."""
    serving: dict[int, Address] = {}
    for first, last, (host, port, *_), *_ in told:
        # A node that does not know its own name leaves it out: it is where we asked.
        named = (host or b"").decode().strip("?") or asked
        serving |= dict.fromkeys(range(first, last + 1), (named, port))
    return serving


def _host(client: Redis) -> str:
    return str(client.connection_pool.connection_kwargs.get("host", "localhost"))


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else bytes(key)
