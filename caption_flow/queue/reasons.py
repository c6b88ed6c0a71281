"""Queue: why samples were given up. Each dead letter is read once, as long as none is taken off."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.queue.border import translated

PAGE = 500  # letters read at a time
# Of the letters that were there before us, the newest: a job may have any number, each with all
# that was made of its sample.
MOST = 500
ANEW_SECONDS = 10.0  # between two counts from the start: while letters are retried, some are gone


class _Why(Struct, frozen=True):
    """What of a failure counts here."""

    reason: str = ""


_why = msgspec.json.Decoder(_Why)


class _Letters(Struct, frozen=True):
    """How many a stream has had."""

    came: int = 0
    gone: int = 0


class Reasons:
    """The newest dead letters of one job, by reason. Asked again, it reads only what is new."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._known = _Letters()
        self._seen = "-"  # all up to here are counted
        self._counted: Counter[str] = Counter()
        self._anew_at = 0.0  # on the monotonic clock

    async def look(self) -> Mapping[str, int]:
        """Count them by reason, the most frequent first."""
        self._look_back(await self._letters())
        most = MOST if self._seen == "-" else None
        before, newest = "+", self._seen
        counted = self._counted.copy()  # ours once all is read: a look may break off
        while most is None or counted.total() < most:
            with translated():
                page = await self._client.xrevrange(
                    self._stream, max=before, min=self._seen, count=PAGE
                )
            if page and before == "+":
                newest = f"({page[0][0].decode()}"
            counted.update(_reason(fields) for _, fields in page)
            if len(page) < PAGE:
                break
            before = f"({page[-1][0].decode()}"
        self._seen, self._counted = newest, counted
        return dict(self._counted.most_common())

    def _look_back(self, now: _Letters) -> None:
        """Begin anew where what was counted is not there any more, but not at every look."""
        emptied = now.came < self._known.came
        # Nobody tells which were tried again or dropped.
        fewer = now.gone != self._known.gone and time.monotonic() >= self._anew_at
        if emptied or fewer:
            self._seen = "-"
            self._counted.clear()
            self._anew_at = time.monotonic() + ANEW_SECONDS
        # What went away since stays to be seen.
        gone = now.gone if emptied or fewer else self._known.gone
        self._known = _Letters(now.came, gone)

    async def _letters(self) -> _Letters:
        with translated():
            if not await self._client.exists(self._stream):
                return _Letters()
            told = await self._client.xinfo_stream(self._stream)
        came = int(told["entries-added"])
        return _Letters(came, came - int(told["length"]))


def _reason(fields: Mapping[bytes, bytes]) -> str:
    try:
        return _why.decode(fields.get(b"why", b"{}")).reason or "unknown"
    except msgspec.DecodeError:
        return "unknown"
