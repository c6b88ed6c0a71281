"""Proxy: what a session says, while images are on the same line.

Answers wait here for their turn, and not who reads what the client asks: leases are renewed while
a large image goes out. A client that takes no answers is soon not read any more.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from caption_flow.proxy.door import SLICE, Door
from caption_flow.wire.frames import Frame, pack

MOST_ANSWERS = 64  # that wait


class Outbox:
    """The way out of one connection."""

    def __init__(self, connection: Door) -> None:
        self._connection = connection
        self._answers: deque[bytes] = deque()
        self._waiting = 0  # bytes of them
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
        packed = pack(frame)  # it takes less memory than what it says
        while not self._has_room(len(packed)):
            self._room.clear()
            await self._room.wait()
        self._answers.append(packed)
        self._waiting += len(packed)
        self._anything.set()

    async def run(self) -> None:
        """Send what waits, for ever; raises ConnectionClosed."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            await self.send_all((frame, b"") for frame in self._waiting())

    async def send(self, frame: Frame) -> None:
        """Send at once what is not said in the way of answers."""
        await self._connection.send(pack(frame))

    async def send_all(self, messages: Iterable[tuple[Frame, bytes]]) -> None:
        """Send frames and their payloads at once, with one write as many as make up a slice."""
        group: list[tuple[bytes, bytes]] = []
        size = 0
        for frame, payload in messages:
            head = pack(frame)
            if size + len(payload) > SLICE:
                await self._connection.send_together(group)
                group, size = [], 0
            if len(payload) > SLICE:
                await self._connection.send(_pieces(head, payload))
            else:
                group.append((head, payload))
                size += len(head) + len(payload)
        await self._connection.send_together(group)

    def _waiting(self) -> Iterator[Frame]:
        while self._latest or self._answers:
            if self._latest:
                yield self._latest.pop(next(iter(self._latest)))
            else:
                self._room.set()
                yield self._answers.popleft()


def _pieces(head: bytes, payload: bytes) -> Iterator[bytes | memoryview]:
    yield head
    view = memoryview(payload)
    for start in range(0, len(payload), SLICE):
        yield view[start : start + SLICE]
