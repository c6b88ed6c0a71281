"""Fetch: the head of an answer, read with suspicion."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from msgspec import Struct

from caption_flow.fetch.failures import (
    CHANGED,
    FORBIDDEN,
    HTTP_STATUS,
    NOT_FOUND,
    RATE_LIMITED,
    SERVER_ERROR,
    TIMEOUT,
    FetchFailed,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REASONS = {
    401: FORBIDDEN,
    403: FORBIDDEN,
    404: NOT_FOUND,
    408: TIMEOUT,
    410: NOT_FOUND,
    416: CHANGED,  # it ends before the bytes asked for
    429: RATE_LIMITED,
    451: FORBIDDEN,
}
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_NUMBER = re.compile(r"[0-9]{1,18}")
_SPAN = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]{0,512}"')
_DATE = re.compile(r"[A-Za-z0-9:, +-]{1,64}")
_FOREVER = 365 * 86400.0


class Span(Struct, frozen=True):
    """Which bytes of the whole an answer holds."""

    start: int
    end: int  # the first byte after them
    total: int | None  # bytes of the whole


class Answer:
    """Status and headers."""

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._headers: dict[str, str] = {}
        for key, value in headers:
            name, text = key.decode("latin-1").lower(), value.decode("latin-1").strip()
            held = self._headers.get(name)
            self._headers[name] = text if held is None else f"{held}, {text}"

    def get(self, name: str) -> str:
        """Look up a header by its name in lower case; empty where there is none."""
        return self._headers.get(name, "")

    @property
    def location(self) -> str | None:
        """Where it redirects to; None: it does not, empty: it does not say."""
        if self.status not in _REDIRECTS:
            return None
        # It may hold UTF-8, which no standard allows and browsers take.
        return self.get("location").encode("latin-1").decode("utf-8", "replace")

    @property
    def length(self) -> int | None:
        """Bytes of its body, where it says so."""
        text = self.get("content-length")
        return int(text) if _NUMBER.fullmatch(text) else None

    @property
    def span(self) -> Span | None:
        """Which bytes of the whole it holds, where it says so and that makes sense."""
        match = _SPAN.fullmatch(self.get("content-range"))
        if not match:
            return None
        total = None if match[3] == "*" else int(match[3])
        span = Span(int(match[1]), int(match[2]) + 1, total)
        sound = span.start < span.end and (total is None or span.end <= total)
        return span if sound else None

    @property
    def total(self) -> int | None:
        """Bytes of the whole, where it says them."""
        if self.status == HTTPStatus.PARTIAL_CONTENT:
            return self.span.total if self.span else None
        return self.length

    @property
    def etag(self) -> str:
        """Its ETag, if that is one."""
        return match[0] if (match := _ETAG.fullmatch(self.get("etag"))) else ""

    @property
    def last_modified(self) -> str:
        """Its date, if that may be one."""
        return match[0] if (match := _DATE.fullmatch(self.get("last-modified"))) else ""

    @property
    def encoding(self) -> str:
        """What its body is wrapped in; empty where in nothing."""
        encoding = self.get("content-encoding").lower()
        return "" if encoding == "identity" else encoding

    @property
    def retry_after(self) -> float:
        """Seconds it asks us to wait; 0 where it does not."""
        text = self.get("retry-after")
        if _NUMBER.fullmatch(text):
            return min(float(text), _FOREVER)
        try:
            then = parsedate_to_datetime(text)
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
            return min(max(0.0, (then - datetime.now(UTC)).total_seconds()), _FOREVER)
        except (ValueError, OverflowError):
            return 0.0

    def failure(self, host: str) -> FetchFailed:
        """Say what an answer without the body we asked for means."""
        reason = _REASONS.get(self.status, HTTP_STATUS)
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            reason = SERVER_ERROR
        passing = self.status in _PASSING
        wait = self.retry_after if passing else 0.0
        detail = f"{host} answers {self.status}{_phrase(self.status)}"
        return FetchFailed(reason, detail, again=passing, wait=wait)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
