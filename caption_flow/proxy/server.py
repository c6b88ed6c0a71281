"""Proxy: listens, lets in whom the admission lets in, and serves each in a session of its own.

Everything that must survive is in Redis. A proxy that is killed loses nothing: its clients go to
another one, or what they held runs out.
"""

import asyncio
import http
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import MappingProxyType

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from caption_flow.config.proxy import ProxyConfig
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.grants import Role
from caption_flow.logs import about, speaking_for
from caption_flow.proxy.admission.anteroom import Anteroom
from caption_flow.proxy.checks.checks import checks
from caption_flow.proxy.common import Common
from caption_flow.proxy.desk import End, MakeDesk
from caption_flow.proxy.desks.administering import AdminDesk
from caption_flow.proxy.desks.asking import AskDesk
from caption_flow.proxy.desks.feeding import FeedDesk
from caption_flow.proxy.desks.work import WorkDesk
from caption_flow.proxy.door import Door
from caption_flow.proxy.files import allow
from caption_flow.proxy.hours import Hours
from caption_flow.proxy.line import Line
from caption_flow.proxy.pages import Pages
from caption_flow.proxy.ports import Admission, Refusal
from caption_flow.proxy.session import CLOSE_SECONDS, Session
from caption_flow.proxy.supply import Supply
from caption_flow.proxy.view import View
from caption_flow.proxy.watching import watching
from caption_flow.proxy.watching.passing import Read
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.job import RedisJob
from caption_flow.queue.news import News
from caption_flow.queue.reclaims import Reclaims
from caption_flow.web.http import fitting
from caption_flow.web.peer import Peer
from caption_flow.web.site import Page
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    HELLO_SECONDS,
    MOST_HEAD,
    PING_SECONDS,
    SILENCE_SECONDS,
    SUBPROTOCOL,
)

logger = logging.getLogger(__name__)

DESKS: Mapping[Role, MakeDesk] = {
    "worker": WorkDesk,
    "feeder": FeedDesk,
    "monitor": AskDesk,
    "admin": AdminDesk,
}
MOST_WAITING = 500  # connections that have shown no token yet
MOST_CONNECTIONS = 64  # to Redis, for the commands of all sessions
HEALTH = "/health"  # for load balancers
PAGE_SECONDS = 8.0  # for the other end to take in a page

_END_SECONDS = 4.0  # for all of them
_MOST_QUEUED = 4  # messages of a connection that were read and are not handled yet
_MOST_MESSAGE = MOST_HEAD + 4  # bytes
_WRITE_LIMIT = 64 << 10  # bytes that wait to be written before a sender waits
_AGAIN = {"Retry-After": "2"}
_NO_PAGES: Mapping[str, Page] = MappingProxyType({})


class Proxy:
    """One process' door to a job."""

    def __init__(
        self, common: Common, pages: Pages, *, desks: Mapping[Role, MakeDesk] = DESKS
    ) -> None:
        self._common = common
        self._pages = pages
        self._desks = desks
        self._sessions: set[Session] = set()
        self._going = False

    def figures(self) -> Mapping[str, float]:
        """Count what was done, for whoever watches."""
        figures = self._common.figures
        figures.connections = len(self._sessions)
        return {name: float(getattr(figures, name)) for name in figures.__struct_fields__}

    @asynccontextmanager
    async def listening(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[int]:
        """Let clients in for as long as this lasts; gives the port. Ends within seconds."""
        allow(self._common.config.most_connections + MOST_WAITING)
        listener = serve(
            self._serve,
            host,
            port,
            ssl=tls,
            create_connection=partial(  # type: ignore[arg-type]  # any callable will do
                Door, anteroom=Anteroom(MOST_WAITING)
            ),
            process_request=self._admit,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str
            compression=None,
            server_header=None,
            open_timeout=HELLO_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=SILENCE_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=_MOST_MESSAGE,
            max_queue=_MOST_QUEUED,
            write_limit=_WRITE_LIMIT,
            logger=_quiet(),
        )
        try:
            await listener
        except OSError as exc:
            raise ConfigError(f"Cannot listen on {host}, port {port}: {exc.strerror}.") from exc
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            await self._close(listener)

    async def _close(self, listener: Listener) -> None:
        """Let nobody in any more, and send everybody to another proxy."""
        self._going = True
        listener.close(close_connections=False)
        for session in list(self._sessions):
            session.end(End(Close.GOING, "This server ends. Come back at once, to another."))
        with suppress(TimeoutError):  # some may not even have asked to come in
            async with asyncio.timeout(_END_SECONDS):
                await listener.wait_closed()
        await self._common.close()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Judge a request before anything is upgraded; None: come in."""
        assert isinstance(connection, Door)  # noqa: S101 - for mypy
        if request.path == HEALTH:
            return fitting(request, connection.respond(http.HTTPStatus.OK, "Up.\n"))
        if self._going:
            return _refused(connection, Refusal(503, "This server ends.\n", _AGAIN))
        if (page := await self._pages.answer(request, _peer(connection))) is not None:
            connection.close_timeout = PAGE_SECONDS
            return fitting(request, page)
        return await self._let_in(connection, request)

    async def _let_in(self, connection: Door, request: Request) -> Response | None:
        """Judge who asks for a WebSocket."""
        if len(self._sessions) >= self._common.config.most_connections:
            return _refused(connection, Refusal(503, "This server is full.\n", _AGAIN))
        try:
            answer = await self._common.admission.admit(request.headers, _peer(connection).address)
        except CaptionFlowError as exc:
            logger.warning("Nobody can be let in. %s", exc)
            answer = Refusal(503, "It cannot be told now who may come in.\n", _AGAIN)
        if isinstance(answer, Refusal):
            return _refused(connection, answer)
        if not _speaks(request.headers.get_all("Sec-WebSocket-Protocol")):
            return _refused(
                connection,
                Refusal(426, f"This server speaks {SUBPROTOCOL}.\n", {"Upgrade": "websocket"}),
            )
        connection.grant = answer
        most = self._common.supply.most_payload(answer.role)
        connection.protocol.max_message_size = _MOST_MESSAGE + most
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Door)  # noqa: S101 - for mypy
        connection.come_in()
        session = Session(connection, connection.grant, self._common, self._desks)
        self._sessions.add(session)
        if self._going:
            session.end(End(Close.GOING, "This server ends."))
        try:
            with speaking_for(contributor=connection.grant.name):
                await session.run()
        except Exception:  # of any kind: it is one session that failed
            name = connection.grant.name
            logger.exception("A session of %s has failed", name, extra=about(contributor=name))
        finally:
            self._sessions.discard(session)


@asynccontextmanager
async def proxy(
    job: RedisJob,
    admission: Admission,
    config: ProxyConfig,
    *,
    lease_seconds: float,
    supply: Supply = Supply(),  # noqa: B008 - it is frozen
    read: Read | None = None,
    public: Mapping[str, Page] = _NO_PAGES,
    guarded: Mapping[str, Page] = _NO_PAGES,
) -> AsyncIterator[Proxy]:
    """Put a proxy together around a job; it listens when it is asked to.

    `read`: the image of a sample, for its page; None: that shows no pictures. `public`, `guarded`:
    more pages, see Pages.
    """
    contributors = RedisContributors(job.connections, job.job)
    async with View(job) as view, Line(News(job)) as line, Hours(contributors) as hours:
        await view.look()
        common = Common(
            job=job,
            admission=admission,
            view=view,
            line=line,
            hours=hours,
            reclaims=Reclaims(grace=lease_seconds / 2),
            config=config,
            lease_seconds=lease_seconds,
            supply=supply,
            checks=await checks(job, view, config.checks),
        )
        with _page(common, read) as (shell, data):
            pages = Pages(
                admission, config, public={**shell, **public}, guarded={**data, **guarded}
            )
            yield Proxy(common, pages)


@contextmanager
def _page(
    common: Common, read: Read | None
) -> Iterator[tuple[Mapping[str, Page], Mapping[str, Page]]]:
    """Make the page for people, where it is wanted: its files, and what they ask for."""
    if not common.config.page.enabled:
        yield {}, {}
        return
    with watching.data(common.job, common.view, common.supply.folder, read) as data:
        yield watching.shell(), data


def _refused(connection: ServerConnection, refusal: Refusal) -> Response:
    response = connection.respond(refusal.status, refusal.sentence)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response


def _speaks(offered: Sequence[str]) -> bool:
    return SUBPROTOCOL in {word.strip() for line in offered for word in line.split(",")}


def _peer(connection: ServerConnection) -> Peer:
    return Peer.of(connection.remote_address, connection.local_address)


def _quiet() -> logging.Logger:
    """Give the library a logger: what strangers do to a connection is no news."""
    quiet = logging.getLogger("caption_flow.proxy.wire")
    quiet.setLevel(logging.CRITICAL)
    return quiet
