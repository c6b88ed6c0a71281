"""Proxy: a connection as the library makes it, and the bounds that the library has not."""

import asyncio
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from caption_flow.grants import Grant
from caption_flow.proxy.admission.anteroom import Anteroom
from caption_flow.wire.closing import Close

SLICE = 128 << 10  # bytes of an image between which pings may go out, and that are buffered
MOST_FRAGMENTS = 1024  # of a message; each takes memory, however small it is
MOST_SMALL = 2000  # pings, and pieces of messages, in a second: the library answers all of them
MOST_BUFFERED = 1 << 20  # bytes to be written; what we send ourselves waits for much less
# Linux: bytes that the kernel takes before the line does. Answers and pings stand behind them.
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)

_BINARY = 0x80 | Opcode.BINARY  # all of it in one frame
_SHORT, _LONG = 126, 1 << 16  # lengths that take another form


class Door(ServerConnection):
    """A connection that knows whose token it came with."""

    grant: Grant
    _fragments = 0  # of the message that is coming in
    _small = 0  # pings and pieces since `_since`
    _since = 0.0  # on the monotonic clock

    def __init__(self, *arguments: Any, anteroom: Anteroom, **options: Any) -> None:
        """`arguments`, `options`: of the library."""
        super().__init__(*arguments, **options)
        self._anteroom = anteroom

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the kernel buffer little of what the line does not take."""
        wire = transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):  # not everywhere known
            wire.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, SLICE)
        super().connection_made(transport)
        self._anteroom.enter(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is gone, if it was never let in."""
        self._anteroom.leave(self.transport)
        super().connection_lost(exc)

    def come_in(self) -> None:
        """Note that it is let in."""
        self._anteroom.leave(self.transport)

    def process_event(self, event: Event) -> None:
        """Pass on what has come, unless it comes in too many pieces."""
        if isinstance(event, Frame):
            if event.opcode is Opcode.CONT:
                self._fragments += 1
            elif event.opcode in {Opcode.TEXT, Opcode.BINARY}:
                self._fragments = 0
            if self._fragments > MOST_FRAGMENTS:
                self._fail(Close.LARGE, "A message comes in too many pieces.")
                return
            if event.opcode not in {Opcode.TEXT, Opcode.BINARY} and self._is_flood():
                self._fail(Close.DISORDER, "There are more pings and pieces than there may be.")
                self.transport.abort()  # else it would be read on until it closes
                return
        super().process_event(event)

    def _is_flood(self) -> bool:
        now = time.monotonic()
        if now - self._since > 1.0:
            self._since, self._small = now, 0
        self._small += 1
        return self._small > MOST_SMALL

    def _fail(self, code: Close, reason: str) -> None:
        self.protocol.fail(code, reason)
        self.send_data()

    async def send_together(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        """Send messages of two parts with one write, and without a copy of the second part."""
        while self.send_in_progress is not None:  # what is sent in pieces is one message
            await asyncio.shield(self.send_in_progress)
        async with self.send_context():
            for head, payload in messages:
                # As `protocol.send_binary` does, which copies an image three times.
                self.protocol.writes.append(_opening(len(head) + len(payload)) + head)
                if payload:
                    self.protocol.writes.append(payload)

    def send_data(self) -> None:
        """Write what there is, at once."""
        written = self.protocol.writes
        if written and all(written):  # an empty one is the end
            self.transport.writelines(self.protocol.data_to_send())
        else:
            super().send_data()

    def data_received(self, data: bytes) -> None:
        """Take in what has come; end it with a client that pings and takes in no answer."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MOST_BUFFERED:
            self.transport.abort()


def _opening(length: int) -> bytes:
    """Write what stands before a whole binary message of a server, see RFC 6455, section 5.2."""
    if length < _SHORT:
        return struct.pack("!BB", _BINARY, length)
    if length < _LONG:
        return struct.pack("!BBH", _BINARY, _SHORT, length)
    return struct.pack("!BBQ", _BINARY, _SHORT + 1, length)
