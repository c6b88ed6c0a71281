"""Remote, the way in: a connection to a proxy, from the first packet to its welcome."""

import asyncio
import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import websockets
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from caption_flow import __version__
from caption_flow.errors import ConfigError, Misunderstanding
from caption_flow.remote.refusals import closed, is_about_trust, unopened
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import Role
from caption_flow.wire.frames import (
    HELLO_SECONDS,
    MOST_HEAD,
    MOST_PAYLOAD,
    PING_SECONDS,
    SILENCE_SECONDS,
    SUBPROTOCOL,
    FromServer,
    Hello,
    Welcome,
    from_server,
    pack,
)

logger = logging.getLogger(__name__)

OPEN_SECONDS = 15.0  # for a connection, TLS and the upgrade
CLOSE_SECONDS = 2.0  # for a goodbye; whoever must end may be in a hurry
MOST_MESSAGE = MOST_HEAD + MOST_PAYLOAD + 4  # bytes
QUEUED = 64  # fragments read ahead of us
# Linux: bytes that the kernel takes before the line does.
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_BUFFERED = 128 << 10
_LENGTH = 4  # bytes before a head that tell its length
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 100

# Not above INFO: at DEBUG the library writes down each header, and so the token.
_library = logging.getLogger("caption_flow.remote.websockets")
_library.setLevel(logging.WARNING)


class Wire(ClientConnection):
    """A connection that knows when it last heard anything.

    An answer to a ping may have to wait behind images on a slow line, which are a sign of life too.
    """

    heard = 0.0  # on the monotonic clock
    _reader = from_server()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the kernel buffer little of what the line does not take: pongs wait behind it."""
        wire = transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):  # not everywhere known
            wire.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _BUFFERED)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.heard = time.monotonic()
        super().data_received(data)

    async def frame(self) -> tuple[FromServer, bytes]:
        """Read the next message: its frame and its payload. Raises Breach where it is none."""
        # By fragments: an image that is one of its own is not copied once more.
        head, *others = [part async for part in self.recv_streaming()]
        if isinstance(head, str):
            raise Breach(Close.MALFORMED, "A message is text; all are binary.")
        parts = [part for part in others if part and isinstance(part, bytes)]
        if len(head) != _LENGTH + int.from_bytes(head[:_LENGTH], "big"):
            frame, payload = self._reader.read(b"".join([head, *parts]))
            return frame, bytes(payload)
        frame, _ = self._reader.read(head)
        return frame, parts[0] if len(parts) == 1 else b"".join(parts)

    async def keep_alive(self) -> None:
        """Ping until nothing has been heard for too long."""
        while time.monotonic() - self.heard < SILENCE_SECONDS:
            with suppress(TimeoutError):  # it waits where the line takes nothing any more
                async with asyncio.timeout(PING_SECONDS):
                    await self.ping()
            await asyncio.sleep(PING_SECONDS)

    async def end(self) -> None:
        """Close in good order, or else without."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * CLOSE_SECONDS):
                    await self.close()
        finally:
            self.transport.abort()  # does nothing where it is closed


class Entrance:
    """Where a proxy is, and what we show there."""

    def __init__(
        self,
        server: str,
        token: str,
        *,
        role: Role,
        member: str,
        verify_ssl: bool = True,
        ca_cert: Path | None = None,
    ) -> None:
        address = _address(server)
        if not (token.isascii() and token.isprintable()):
            raise ConfigError("token holds characters that no token has; copy it anew")
        self.role = role
        self.place = f"{'wss' if address.secure else 'ws'}://{address.host}:{address.port}"
        self._server = server
        self._token = token
        self._ca_cert = ca_cert
        self._tls = None
        if address.secure:
            # Slow to import, for many who come to a Redis and never here.
            from caption_flow.certificates.contexts import client_context  # noqa: PLC0415

            self._tls = client_context(verify_ssl=verify_ssl, ca_cert=ca_cert)
        self._hello = Hello(
            role,
            member_word(member),
            socket.gethostname()[:_LONGEST],
            os.getpid(),
            f"caption-flow {__version__}",
        )
        if not address.secure and not _is_here(address.host):
            logger.warning(
                "The token and all images go to %s unencrypted; anybody on the way can read them. "
                "Use wss://",
                self.place,
            )
        if address.secure and not verify_ssl:
            logger.warning(
                "Whether %s is who it says is not checked: anybody on the way can read the token. "
                "For development only",
                self.place,
            )

    @asynccontextmanager
    async def opened(self, tickets: Sequence[str]) -> AsyncIterator[tuple[Wire, Welcome]]:
        """Connect, and take up what was held under these, the last one last; closes in the end."""
        wire = await self._connect(known=bool(tickets))
        try:
            yield wire, await self._greeted(wire, tickets)
        except ConnectionClosed as exc:
            raise closed(exc, self.place) from exc
        except Breach as exc:
            await wire.close(exc.code, exc.reason)
            raise Misunderstanding(
                f"{self.place} sends what this version cannot read ({exc}). "
                "Install the version of caption-flow that it has."
            ) from exc
        finally:
            await wire.end()

    async def _connect(self, *, known: bool) -> Wire:
        try:
            wire = await websockets.connect(
                self._server,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers={"Authorization": f"Bearer {self._token}"},
                user_agent_header=self._hello.software,
                compression=None,
                ssl=self._tls,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
                ping_interval=None,
                max_size=MOST_MESSAGE,
                max_queue=QUEUED,
                logger=_library,
                create_connection=Wire,
            )
        except (OSError, EOFError, WebSocketException) as exc:
            why = None
            if is_about_trust(exc) or not (known or isinstance(exc, InvalidStatus)):
                from caption_flow.certificates.explain import explain  # noqa: PLC0415 - likewise

                # That takes seconds, which one who only has to come back does not have.
                why = await explain(exc, self._server, ca_cert=self._ca_cert)
            raise unopened(exc, self.place, why, known=known) from exc
        return cast("Wire", wire)

    async def _greeted(self, wire: Wire, tickets: Sequence[str]) -> Welcome:
        *earlier, last = tickets or [""]
        await wire.send(pack(replace(self._hello, resume=last, tickets=tuple(earlier))))
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                frame, _ = await wire.frame()
        except TimeoutError as exc:
            raise unopened(exc, self.place, None) from exc
        if not isinstance(frame, Welcome):
            raise Breach(Close.DISORDER, "The first frame is no welcome.")
        return frame


def member_word(name: str) -> str:
    """Spell the name of a process as the protocol has it."""
    return _ODD.sub("-", name)[-_LONGEST:]


def _address(server: str) -> WebSocketURI:
    way_out = "write wss://HOST:PORT"
    if any(char.isspace() for char in server):
        raise ConfigError(f"server holds a space; {way_out}")
    try:
        address = parse_uri(server)
    except (InvalidURI, ValueError) as exc:
        raise ConfigError(f"server is no URL; {way_out}") from exc
    if address.user_info:
        raise ConfigError(f"server holds a user; {way_out}, and give the token by itself")
    return address


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
