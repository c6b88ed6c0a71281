"""Queue: why samples were given up. Each dead letter is read once, as long as none is taken off."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.queue.border import translated

PAGE = 500  # letters read at a time
MOST = 5_000  # of the letters that were there before us, the newest: a job may have any number


class _Why(Struct, frozen=True):
    """What of a failure counts here."""

    reason: str = ""


_why = msgspec.json.Decoder(_Why)


class Reasons:
    """The newest dead letters of one job, by reason. Asked again, it reads only what is new."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._gone = 0  # letters that were taken off so far
        self._seen = "-"  # all up to here are counted
        self._counted: Counter[str] = Counter()

    async def look(self) -> Mapping[str, int]:
        """Count them by reason, the most frequent first."""
        gone = await self._taken_off()
        if gone != self._gone:  # nobody tells which were tried again or dropped
            self._begin_anew(gone)
        most = MOST if self._seen == "-" else None
        before, newest = "+", self._seen
        while most is None or self._counted.total() < most:
            with translated():
                page = await self._client.xrevrange(
                    self._stream, max=before, min=self._seen, count=PAGE
                )
            if page and before == "+":
                newest = f"({page[0][0].decode()}"
            self._counted.update(_reason(fields) for _, fields in page)
            if len(page) < PAGE:
                break
            before = f"({page[-1][0].decode()}"
        self._seen = newest
        return dict(self._counted.most_common())

    def _begin_anew(self, gone: int) -> None:
        self._gone, self._seen = gone, "-"
        self._counted.clear()

    async def _taken_off(self) -> int:
        with translated():
            if not await self._client.exists(self._stream):
                return 0
            told = await self._client.xinfo_stream(self._stream)
        return int(told["entries-added"]) - int(told["length"])


def _reason(fields: Mapping[bytes, bytes]) -> str:
    try:
        return _why.decode(fields.get(b"why", b"{}")).reason or "unknown"
    except msgspec.DecodeError:
        return "unknown"
