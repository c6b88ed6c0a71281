"""Proxy: what a session says, while images are on the same line.

Answers wait here for their turn, and not who reads what the client asks: leases are renewed while
a large image goes out. A client that takes no answers is soon not read any more.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection

from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import pack

MOST_ANSWERS = 64  # that wait
SLICE = 128 << 10  # bytes of an image between which pings may go out, and that are buffered


class Outbox:
    """The way out of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._answers: deque[Frame] = deque()
        self._latest: dict[type[Frame], Frame] = {}  # what is told anew when it changes
        self._anything = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def tell(self, frame: Frame) -> None:
        """Have something sent; of several of its kind that wait only the last."""
        self._latest[type(frame)] = frame
        self._anything.set()

    async def answer(self, frame: Frame) -> None:
        """Have an answer sent; waits where too many wait already."""
        while len(self._answers) >= MOST_ANSWERS:
            self._room.clear()
            await self._room.wait()
        self._answers.append(frame)
        self._anything.set()

    async def run(self) -> None:
        """Send what waits, for ever; raises ConnectionClosed."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            while (frame := self._next()) is not None:
                await self.send(frame)

    async def send(self, frame: Frame, payload: bytes = b"") -> None:
        """Send at once what is not said in the way of answers."""
        head = pack(frame)
        if len(payload) <= SLICE:
            await self._connection.send(head + payload)  # to copy it costs less than more pieces
        else:
            await self._connection.send(_pieces(head, payload))

    def _next(self) -> Frame | None:
        if self._latest:
            return self._latest.pop(next(iter(self._latest)))
        if not self._answers:
            return None
        self._room.set()
        return self._answers.popleft()


def _pieces(head: bytes, payload: bytes) -> Iterator[bytes | memoryview]:
    yield head
    view = memoryview(payload)
    for start in range(0, len(payload), SLICE):
        yield view[start : start + SLICE]
