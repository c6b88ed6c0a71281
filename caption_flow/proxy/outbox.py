"""Proxy: what a session says, while images are on the same line.

Answers wait here for their turn, and not who reads what the client asks: leases are renewed while
a large image goes out. A client that takes no answers is soon not read any more.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from caption_flow.proxy.door import SLICE, Door
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import pack

MOST_ANSWERS = 64  # that wait
MOST_WAITING = 256 << 10  # bytes of them; one alone may be larger


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
            await self._send_packed((packed, b"") for packed in self._due())

    async def send(self, frame: Frame, payload: bytes = b"") -> None:
        """Send at once what is not said in the way of answers."""
        await self.send_all([(frame, payload)])

    async def send_all(self, messages: Iterable[tuple[Frame, bytes]]) -> None:
        """Send frames and their payloads at once, with one write as many as make up a slice."""
        await self._send_packed((pack(frame), payload) for frame, payload in messages)

    async def _send_packed(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        group: list[tuple[bytes, bytes]] = []
        size = 0
        for head, payload in messages:
            if size + len(payload) > SLICE:
                await self._connection.send_together(group)
                group, size = [], 0
            if len(payload) > SLICE:
                await self._connection.send(_pieces(head, payload))
            else:
                group.append((head, payload))
                size += len(head) + len(payload)
        await self._connection.send_together(group)

    def _has_room(self, size: int) -> bool:
        few = len(self._answers) < MOST_ANSWERS and self._waiting + size <= MOST_WAITING
        return few or not self._answers

    def _due(self) -> Iterator[bytes]:
        while self._latest or self._answers:
            if self._latest:
                yield pack(self._latest.pop(next(iter(self._latest))))
            else:
                self._room.set()
                packed = self._answers.popleft()
                self._waiting -= len(packed)
                yield packed


def _pieces(head: bytes, payload: bytes) -> Iterator[bytes | memoryview]:
    yield head
    view = memoryview(payload)
    for start in range(0, len(payload), SLICE):
        yield view[start : start + SLICE]
