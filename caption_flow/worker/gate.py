"""Worker, the way into the engine: many samples side by side, or a suspect all alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from caption_flow.seats import Seats


class Gate:
    """Lets samples in, so many; who must be alone goes first, and has nobody beside it."""

    def __init__(self, room: int) -> None:
        self._room = Seats(room)
        self._inside = 0
        self._loners = 0  # inside or waiting
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()  # one loner at a time, in the order they came

    def resize(self, room: int) -> None:
        """Have room for so many from now on."""
        self._room.resize(room)

    @asynccontextmanager
    async def passed(self, *, alone: bool) -> AsyncIterator[None]:
        """Be inside while the context lasts."""
        async with self._room:
            if alone:
                async with self._alone():
                    yield
                return
            while self._loners:
                await self._change()
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1
                self._changed.set()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        self._loners += 1
        try:
            async with self._turn:
                while self._inside:
                    await self._change()
                yield
        finally:
            self._loners -= 1
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
