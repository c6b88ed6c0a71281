"""Fetch: the addresses of names, asked for in threads of our own and remembered for a while.

We ask ourselves, so that the address that is checked is the one that is connected to.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.fetch.addresses import Address, plain

Lookup: TypeAlias = Callable[[str], Iterable[str]]  # name -> addresses; blocks, raises OSError

THREADS = 32
REMEMBERED_SECONDS = 30.0
_HICCUP_SECONDS = 1.0  # for which "try again later" is remembered
_REMEMBERED_NAMES = 4096
CONTROL = "example.com"  # a name that is kept for good by RFC 2606: who does not find it finds none
_UNKNOWN = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class Addresses(Struct, frozen=True):
    """What came of asking for a name."""

    found: tuple[Address, ...] = ()
    trouble: str = ""  # why there are none
    unknown: bool = False  # there is no such name; nothing ails the network


class Resolver:
    """Asks for each name once at a time and once in a while."""

    def __init__(
        self, lookup: Lookup | None = None, *, seconds: float = REMEMBERED_SECONDS
    ) -> None:
        self._lookup = lookup or _system
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="caption-flow-names")
        self._asked: dict[str, tuple[float, asyncio.Future[Addresses]]] = {}
        self._finds_names = False  # of the internet, as far as was ever seen

    async def __call__(self, host: str) -> Addresses:
        """Find the addresses of a host; never raises."""
        asked = self._asked.get(host)
        if asked is None or self._is_old(*asked):
            asked = self._ask(host)
        # Shielded: who else waits for the same name must not lose it with us.
        return await asyncio.shield(asked[1])

    def close(self) -> None:
        """Leave the threads to end by themselves."""
        for _, future in self._asked.values():
            future.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, host: str) -> tuple[float, "asyncio.Future[Addresses]"]:
        self._asked.pop(host, None)
        while len(self._asked) >= _REMEMBERED_NAMES:
            self._asked.pop(next(iter(self._asked)))
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._answer, host)
        self._asked[host] = asked = (time.monotonic(), future)
        return asked

    def _answer(self, host: str) -> Addresses:
        answer = _answer(self._lookup, host)
        if answer.unknown and not self._finds_names:
            # Where names of the internet are not known at all, this one may well exist.
            self._finds_names = bool(_answer(self._lookup, CONTROL).found)
            return replace(answer, unknown=self._finds_names)
        return answer

    def _is_old(self, asked_at: float, future: "asyncio.Future[Addresses]") -> bool:
        if not future.done():
            return False
        hiccup = future.cancelled() or (future.result().trouble and not future.result().unknown)
        keep = min(_HICCUP_SECONDS, self._seconds) if hiccup else self._seconds
        return time.monotonic() - asked_at >= keep


def _answer(lookup: Lookup, host: str) -> Addresses:
    try:
        found = dict.fromkeys(plain(text) for text in lookup(host))
    except OSError as exc:
        return Addresses(trouble=exc.strerror or str(exc), unknown=exc.errno in _UNKNOWN)
    except ValueError as exc:  # a name that cannot be encoded, an answer that is no address
        return Addresses(trouble=str(exc), unknown=True)
    return Addresses(tuple(found), "" if found else "it has no address", unknown=not found)


def _system(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
