"""Proxy: those who have connected and are not let in yet. They have shown no token."""

import asyncio


class Anteroom:
    """Holds a bounded number of connections: where it is full, who came first has to go.

    Whoever means well is let in within a moment, so that it is a silent one who goes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[asyncio.BaseTransport, None] = {}  # in the order in which they came

    def enter(self, transport: asyncio.Transport) -> None:
        """Let a connection wait."""
        self._waiting[transport] = None
        if len(self._waiting) > self._most:
            first = next(iter(self._waiting))
            del self._waiting[first]
            assert isinstance(first, asyncio.WriteTransport)  # noqa: S101 - for mypy
            first.abort()

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """Note that a connection was let in, or is gone."""
        self._waiting.pop(transport, None)
