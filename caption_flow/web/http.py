"""Web: a site on a socket. websockets reads the requests and writes what is answered.

It takes one request a connection, heads of a few KB, and no body, which is all that a site needs.
"""

import asyncio
import http
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.web.site import SAFE, Answer, Asked, Site, refused

logger = logging.getLogger(__name__)

_OPEN_SECONDS = 10.0  # for the head of a request
_CLOSE_SECONDS = 1.0  # for all connections, once nobody else may come


def asked(request: Request, address: str) -> Asked:
    """Say what a request asks."""
    headers: Mapping[str, str] = {
        name.lower(): value for name, value in request.headers.raw_items()
    }
    return Asked.of(request.path, headers, address)


def wrong_method(request: Request) -> Answer | None:
    """Refuse what is no look at something; None: it is one."""
    if request.method in {"GET", "HEAD"}:
        return None
    return refused(405, "Here one can only look: ask with GET.", {"Allow": "GET, HEAD"})


def fitting(request: Request, whole: Response) -> Response:
    """Leave the body out where only the head of an answer is asked for."""
    if request.method == "HEAD":
        whole.body = b""
    return whole


async def answered(site: Site, question: Asked) -> Response:
    """Let a site answer; what goes wrong costs this answer alone."""
    page = site.page(question.path)
    if page is None:
        return response(refused(404, "There is no such page."))
    try:
        return response(await page(question))
    except CaptionFlowError as exc:
        return response(refused(503, str(exc)))
    except Exception:  # of any kind: it is one page that failed
        logger.exception("The page %s has failed", question.path)
        return response(refused(500, "This page has failed; the log of the server says why."))


def response(answer: Answer) -> Response:
    """Write an answer as the library takes it."""
    headers = Headers({**SAFE, **answer.headers})
    headers["Content-Type"] = answer.kind
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    status = http.HTTPStatus(answer.status)
    return Response(status.value, status.phrase, headers, answer.body)


@asynccontextmanager
async def listening(site: Site, host: str, port: int) -> AsyncIterator[int]:
    """Show a site, and nothing else, for as long as this lasts; gives the port."""

    async def answer(connection: ServerConnection, request: Request) -> Response:
        if refusal := wrong_method(request):
            return response(refusal)
        peer = connection.remote_address
        whole = await answered(site, asked(request, str(peer[0]) if peer else ""))
        return fitting(request, whole)

    opened: set[asyncio.BaseTransport] = set()

    class Connection(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            opened.add(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            opened.discard(self.transport)
            super().connection_lost(exc)

    quiet = logging.getLogger("caption_flow.web.wire")
    quiet.setLevel(logging.CRITICAL)  # what strangers do to a connection is no news
    server = serve(
        _nobody,
        host,
        port,
        process_request=answer,
        create_connection=Connection,
        compression=None,
        server_header=None,
        open_timeout=_OPEN_SECONDS,
        close_timeout=_CLOSE_SECONDS,
        logger=quiet,
    )
    try:
        await server
    except OSError as exc:
        raise ConfigError(f"Cannot listen on {host}, port {port}: {exc.strerror}.") from exc
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await _close(server, opened)


async def _close(server: Server, opened: set[asyncio.BaseTransport]) -> None:
    """Let who has asked have an answer, and hang up on who asks nothing."""
    server.close()
    for _ in range(2):
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await server.wait_closed()
        for transport in opened:
            cast("asyncio.Transport", transport).abort()


async def _nobody(connection: ServerConnection) -> None:
    """Serve no WebSocket: every request has been answered before."""
