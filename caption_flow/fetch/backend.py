"""Fetch: connections, made only to addresses that were checked.

TLS and the Host header keep the name; nobody after us resolves it again. So neither a redirect
nor a name whose addresses change or differ leads anywhere else.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from httpcore2 import (
    AsyncNetworkBackend,
    AsyncNetworkStream,
    ConnectError,
    ConnectTimeout,
)

from caption_flow.fetch.addresses import Address, Guard
from caption_flow.fetch.failures import FORBIDDEN_ADDRESS, UNREACHABLE, FetchFailed
from caption_flow.fetch.resolver import Resolver
from caption_flow.fetch.wire import connect

_MOST_ADDRESSES = 6  # of one name that are tried


class CheckedBackend(AsyncNetworkBackend):
    """Resolves, checks, and connects to what was checked."""

    def __init__(
        self, resolver: Resolver, guard: Guard, trusted: Iterable[tuple[str, int]] = ()
    ) -> None:
        self._resolver = resolver
        self._guard = guard
        self._trusted = frozenset(trusted)  # hosts and ports that the operator named

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is httpcore's
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> AsyncNetworkStream:
        """Connect to the first admitted address that answers, within the timeout for all."""
        seconds = timeout or 0.0
        deadline = time.monotonic() + seconds
        addresses = await self._admitted(host, port, seconds)
        last: Exception | None = None
        for number, address in enumerate(addresses):
            share = max(0.0, deadline - time.monotonic()) / (len(addresses) - number)
            try:
                return await connect(str(address), port, share)
            except (ConnectError, ConnectTimeout) as exc:
                last = exc
        raise last or ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def _admitted(self, host: str, port: int, seconds: float) -> list[Address]:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._resolver(host)
        except TimeoutError as exc:
            raise ConnectTimeout(f"no answer about the name {host}") from exc
        if answer.trouble:
            detail = f"the name {host} cannot be resolved: {answer.trouble}"
            if answer.unknown:
                raise FetchFailed(UNREACHABLE, detail, again=False)
            raise ConnectError(detail)
        if (host, port) in self._trusted:
            return list(answer.found[:_MOST_ADDRESSES])
        admitted = [address for address in answer.found if self._guard.admits(address)]
        if not admitted:
            raise FetchFailed(FORBIDDEN_ADDRESS, _forbidden(host, answer.found[0]))
        return admitted[:_MOST_ADDRESSES]


def _forbidden(host: str, address: Address) -> str:
    named = host if host == str(address) else f"{host} ({address})"
    return (
        f"{named} is not on the public internet. If it is meant, name its network in allow_networks"
    )
