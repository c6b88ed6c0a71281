"""Fetch: a run of bytes out of something larger, and whether an answer holds it."""

from msgspec import Struct

from caption_flow.fetch.answers import Answer
from caption_flow.fetch.failures import CHANGED, HTTP_STATUS, NO_RANGES, FetchFailed

_CHEAP = 1 << 20  # bytes that are read and thrown away where a server gives no ranges
_PARTIAL = 206


class Range(Struct, frozen=True):
    """Bytes from a start on, up to an end where there is one."""

    start: int = 0
    end: int | None = None  # the first byte after it

    @property
    def header(self) -> dict[str, str]:
        """As a request asks for it; all of it needs no asking."""
        if not self.start and self.end is None:
            return {}
        return {"Range": f"bytes={self.start}-{'' if self.end is None else self.end - 1}"}

    def find(self, answer: Answer, host: str) -> "Found":
        """Find it in the body of an answer; a FetchFailed where it is not there."""
        if answer.status == _PARTIAL:
            return self._in_part(answer, host)
        if self.start > _CHEAP:
            detail = f"{host} gives no part of it, and this one is far from its start"
            raise FetchFailed(NO_RANGES, detail)
        end = answer.length if self.end is None else self.end
        self._check(answer.length, host)
        return Found(self.start, None if end is None else end - self.start, answer.length)

    def _in_part(self, answer: Answer, host: str) -> "Found":
        span = answer.span
        if not self.header or span is None:
            raise FetchFailed(HTTP_STATUS, f"{host} gives a part, without need or without a word")
        self._check(span.total, host)
        if span.start != self.start or span.end != (self.end or span.total or span.end):
            raise FetchFailed(NO_RANGES, f"{host} gives another part than asked for")
        return Found(0, span.end - span.start, span.total)

    def _check(self, total: int | None, host: str) -> None:
        needed = self.start if self.end is None else self.end
        if total is not None and total < needed:
            detail = f"{host} has {total:,} bytes of it; it should have {needed:,} or more"
            raise FetchFailed(CHANGED, detail)


class Found(Struct, frozen=True):
    """Where in a body the bytes are that were asked for."""

    skip: int  # bytes before them
    length: int | None  # bytes of them; None: all that follow
    total: int | None  # bytes of the whole, where the server says them
