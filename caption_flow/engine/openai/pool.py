"""Engine `openai`: which server a request goes to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from caption_flow.engine.openai.bell import Bell
from caption_flow.engine.openai.pace import Begun
from caption_flow.engine.openai.server import Server
from caption_flow.errors import EngineUseless
from caption_flow.lifecycle import Drain
from caption_flow.patience import Interrupted


class Pool:
    """Servers that do the same; who comes first is served first, by the one with most room."""

    def __init__(self, servers: Sequence[Server], bell: Bell, drain: Drain) -> None:
        self._servers = servers
        self._bell = bell
        self._drain = drain  # ends the wait for servers that are left alone
        self._first = asyncio.Lock()  # held by who is first in the queue

    def check(self) -> None:
        """Raise EngineUseless where no server is left."""
        if all(server.aside for server in self._servers):
            raise EngineUseless("\n".join(server.aside for server in self._servers))

    def has_other_than(self, waiting: Sequence[Server]) -> bool:
        """Tell whether a server can be asked besides those that are waited for."""
        self.check()
        return any(not server.aside and server not in waiting for server in self._servers)

    @asynccontextmanager
    async def slot(self, avoid: Server | None) -> AsyncIterator[tuple[Server, Begun]]:
        """Wait for a slot of any server, of another than `avoid` where there is a choice.

        Raises Interrupted where a drain is asked while all of them are left alone.
        """
        async with self._first:
            server = await self._choose(avoid)
            begun = server.enter()
        try:
            yield server, begun
        finally:
            server.leave()

    async def _choose(self, avoid: Server | None) -> Server:
        while True:
            self.check()
            waits = {server: server.opens_in() for server in self._servers}
            ready = [server for server, seconds in waits.items() if seconds <= 0]
            if ready:
                return max(ready, key=lambda s: (s is not avoid, s.free, -s.taken))
            if self._drain.asked and all(s.aside or s.resting for s in self._servers):
                raise Interrupted("Gave up waiting for a server.")
            await self._bell.wait(min(waits.values()))
