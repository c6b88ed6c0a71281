"""Proxy: pages at its address, beside the WebSocket: who may see them, and what is answered.

A request that asks for no upgrade comes here. Public pages hold nothing of a job. Others are for
who shows a token of a monitor or an admin, in a header, or sits at this host as the user that we
run as; a token never stands in an address or a cookie. Wrong ones count as failed logins.
"""

import asyncio
import logging
from collections.abc import Mapping

from websockets.http11 import Request, Response

from caption_flow.config.proxy import ProxyConfig
from caption_flow.errors import CaptionFlowError
from caption_flow.proxy.admission.here import sits_here, stands_in
from caption_flow.proxy.admission.origin import Origins
from caption_flow.proxy.ports import Admission, Refusal
from caption_flow.proxy.refusal import sentence
from caption_flow.web.http import answered, asked, response, wrong_method
from caption_flow.web.peer import Peer
from caption_flow.web.site import Answer, Asked, Page, Site, refused, told

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 64  # requests that are being answered
ANSWER_SECONDS = 6.0  # below the time in which a connection must have come in
DOOR = "/api/door"  # says whether who asks needs a token
_SEERS = frozenset({"monitor", "admin"})
_AGAIN = {"Retry-After": "2"}
_NOT_FOR_PAGES = "This token is for the role {}. Pages are for one of the role monitor or admin."


class Pages:
    """What a proxy shows to browsers and programs that ask by plain HTTP.

    `public` and `guarded` are pages by their paths, see Site.
    """

    def __init__(
        self,
        admission: Admission,
        config: ProxyConfig,
        *,
        public: Mapping[str, Page],
        guarded: Mapping[str, Page],
    ) -> None:
        self._admission = admission
        self._open_here = config.page.loopback and not stands_in(Origins(config.trust_forwarded))
        self._public = Site(public)
        self._guarded = Site({path: _told_apart(page) for path, page in guarded.items()})
        self._inside = 0

    async def answer(self, request: Request, peer: Peer) -> Response | None:
        """Answer a request; None where it asks for a WebSocket."""
        if _asks_for_websocket(request):
            return None
        if self._inside >= MOST_AT_ONCE:
            return response(refused(503, "Too much is asked of this server now.", _AGAIN))
        self._inside += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer(request, asked(request, peer.address), peer)
        except TimeoutError:
            return response(refused(503, "This takes too long now. Try again.", _AGAIN))
        finally:
            self._inside -= 1

    async def _answer(self, request: Request, question: Asked, peer: Peer) -> Response:
        if refusal := self._admission.ask(request.headers, question.address):
            return response(_answer_of(refusal))
        if unfit := wrong_method(request):
            return response(unfit)
        if question.path == DOOR:
            return response(told({"needs_token": not await self._sits_here(request, peer)}))
        if not self._guarded.page(question.path):
            return await answered(self._public, question)
        if refusal := await self._judge(request, peer):
            return response(_answer_of(refusal))
        return await answered(self._guarded, question)

    async def _judge(self, request: Request, peer: Peer) -> Refusal | None:
        if "Authorization" not in request.headers and await self._sits_here(request, peer):
            return None
        try:
            grant = await self._admission.look_in(request.headers, peer.address)
        except CaptionFlowError as exc:
            logger.warning("Nobody can be shown a page. %s", exc)
            return Refusal(503, "It cannot be told now who may look.", _AGAIN)
        if isinstance(grant, Refusal):
            return grant
        return None if grant.role in _SEERS else Refusal(403, _NOT_FOR_PAGES.format(grant.role))

    async def _sits_here(self, request: Request, peer: Peer) -> bool:
        here = self._open_here and sits_here(request.headers, peer.address)
        return here and await peer.is_our_user()  # last: it reads all sockets of the host


def _asks_for_websocket(request: Request) -> bool:
    """Whether it is for a session. What else may be wished, such as h2c, is no duty of ours."""
    lines = request.headers.get_all("Upgrade")
    return any(word.strip().lower() == "websocket" for line in lines for word in line.split(","))


def _answer_of(refusal: Refusal) -> Answer:
    return refused(refusal.status, refusal.sentence.strip(), refusal.headers)


def _told_apart(page: Page) -> Page:
    """Let a page say what is wrong as sessions do: who looks is not told where our Redis is."""

    async def guarded(question: Asked) -> Answer:
        try:
            return await page(question)
        except CaptionFlowError as exc:
            logger.debug("No page %s: %s", question.path, exc)
            return refused(503, sentence(exc), _AGAIN)

    return guarded
