"""Remote, its border: what keeps us from a proxy, in sentences that say what to do.

What passes is a ServerUnreachable, and waited for; what stays ends the process. Here is the only
place that knows what `websockets` and `ssl` raise.
"""

import re
import socket
import ssl
from http import HTTPStatus

from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.http11 import Response

from caption_flow.errors import (
    CaptionFlowError,
    Misunderstanding,
    ServerUnfit,
    ServerUnreachable,
)
from caption_flow.wire.closing import Close

_MOST_WORDS = 300  # characters of what a server says
_MOST_WAIT = 600.0  # seconds that we wait because a server says so
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

_STATUSES: dict[int, tuple[type[CaptionFlowError], str]] = {
    400: (Misunderstanding, "{place} does not understand how we ask."),
    401: (
        ServerUnfit,
        "{place} does not accept the token: it is unknown there, or has expired. Check --token or "
        "CAPTION_FLOW_TOKEN, and ask the operator of the job for another one if that is right.",
    ),
    403: (ServerUnfit, "{place} accepts the token, but not for this."),
    426: (
        ServerUnfit,
        "{place} speaks another version of the protocol. "
        "Install the version of caption-flow that it has.",
    ),
    429: (ServerUnreachable, "{place} has been asked too often from here."),
    503: (ServerUnreachable, "{place} takes nobody in for the moment."),
}
_NO_PROXY = (ServerUnreachable, "{place} answers, but not as a proxy of caption-flow.")
_CODES: dict[int, tuple[type[CaptionFlowError], str]] = {
    Close.UNAUTHORIZED: (
        ServerUnfit,
        "{place} does not accept the token any more: it was removed there, or has expired.",
    ),
    Close.FORBIDDEN: (ServerUnfit, "{place} does not allow that."),
    Close.MALFORMED: (
        Misunderstanding,
        "{place} cannot read what this client sent. Install the version of caption-flow it has.",
    ),
    Close.LARGE: (Misunderstanding, "{place} was sent more than it takes at once."),
    Close.EXCESS: (
        ServerUnreachable,
        "{place} has as many connections as the token allows. End another worker.",
    ),
    Close.GOING: (ServerUnreachable, "{place} ends; another may take its place."),
}
_CUT = (ServerUnreachable, "The connection to {place} was cut.")


class Away(ServerUnreachable):
    """The proxy cannot be reached now, or does not take us now."""

    def __init__(self, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait = wait  # seconds that it asks for


def is_about_trust(error: Exception) -> bool:
    """Whether it is the certificate that is not believed."""
    return isinstance(error, ssl.SSLCertVerificationError)


def unopened(
    error: Exception, place: str, why: str | None, *, known: bool = False
) -> CaptionFlowError:
    """Say why a connection could not be opened; `why`: what TLS has to do with it.

    `known`: we were there before, so that its certificate was right once, and will be again.
    """
    if isinstance(error, InvalidStatus):
        return _refused(error.response, place)
    if is_about_trust(error):
        sentence = why or f"The certificate of {place} is refused: {error}"
        return Away(sentence) if known else ServerUnfit(sentence)
    return Away(why or _trouble(error).format(place=place))


def closed(error: ConnectionClosed, place: str) -> CaptionFlowError:
    """Say why a connection was closed."""
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (0, "")
    kind, sentence = _CODES.get(code, _CUT)
    return _said(kind, sentence.format(place=place), reason)


def words(text: str) -> str:
    """Make what a server says fit to be shown: it may be anybody's."""
    text = _UNPRINTABLE.sub(" ", text[: 2 * _MOST_WORDS]).strip()
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"


def _refused(response: Response, place: str) -> CaptionFlowError:
    kind, sentence = _STATUSES.get(response.status_code, _NO_PROXY)
    reason = bytes(response.body or b"").decode(errors="replace")
    if (kind, sentence) == _NO_PROXY:
        reason = f"HTTP {response.status_code} {_phrase(response.status_code)}"
    wait = response.headers.get("Retry-After", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() else 0.0
    return _said(kind, sentence.format(place=place), reason, min(seconds, _MOST_WAIT))


def _said(
    kind: type[CaptionFlowError], sentence: str, reason: str, wait: float = 0.0
) -> CaptionFlowError:
    reason = words(reason)
    text = f"{sentence} It says: {reason}" if reason else sentence
    return Away(text, wait) if kind is ServerUnreachable else kind(text)


def _trouble(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "No host has the name in {place}. Check --server, and whether there is a network."
    if isinstance(error.__cause__ or error, ConnectionResetError | EOFError):
        return "{place} broke off at once. If that goes on: is it right that it is ws:// or wss://?"
    if isinstance(error, ProxyError):
        return "{place} is not reached by way of HTTPS_PROXY or HTTP_PROXY. Is that right?"
    if isinstance(error, TimeoutError):
        return "{place} did not answer in time."
    if isinstance(error, WebSocketException):
        return _NO_PROXY[1]
    return "No answer from {place}. Is it up, and --server right?"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
