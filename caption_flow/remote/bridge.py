"""Remote, between threads: calls into an event loop from anywhere, many of which wake it once.

A role and its keeper have event loops of their own, and so has the connection: a sample must not
cost each of them a wake-up.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

Call: TypeAlias = Callable[..., object]


class Bridge:
    """Leads into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Call, tuple[Any, ...]]] = deque()
        self._due = False  # the loop will look

    def call(self, function: Call, *arguments: Any) -> None:
        """Call it in the loop, after all that were called before; not if the loop has ended."""
        self._calls.append((function, arguments))
        if not self._due:
            self._due = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        # First, so that whoever adds a call after the last one here lets us look again.
        self._due = False
        while self._calls:
            function, arguments = self._calls.popleft()
            function(*arguments)


class Bridges:
    """Those into the loops that call us."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[asyncio.AbstractEventLoop, Bridge] = WeakKeyDictionary()

    def here(self) -> Bridge:
        """The one into the loop that runs here."""
        loop = asyncio.get_running_loop()
        found = self._known.get(loop)
        if found is None:
            found = self._known[loop] = Bridge(loop)
        return found


class Answer:
    """Something that is waited for in one loop, and comes from another."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def give(self, result: object) -> None:
        """Let it come; from any thread."""
        self._bridge.call(self._settle, result)

    async def wait(self) -> Any:
        """Wait for it; raises what is given if that is an error."""
        result = await self._future
        if isinstance(result, Exception):
            raise result
        return result

    def _settle(self, result: object) -> None:
        if not self._future.done():
            self._future.set_result(result)
