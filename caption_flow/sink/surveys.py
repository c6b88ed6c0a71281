"""Sink: what stands in the folder and in the records, read once for all sinks of a process.

A job of several lanes has a sink for each, and all must know the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping

from msgspec import Struct

from caption_flow.dataset.known import Known
from caption_flow.sink.records import Record


class Survey(Struct, frozen=True):
    """What was found in an epoch of the queue."""

    rivals: Mapping[str, Known]  # samples of parts that others may be about to publish
    parts: frozenset[str]  # whose rows count
    told: Mapping[str, Record]  # what is recorded


class Surveys:
    """What was found last, until all have it.

    While the epoch is the same nothing was forgotten, so that what one sink found in it is all
    that another one would find.
    """

    def __init__(self, sharers: int = 1) -> None:
        self._sharers = sharers
        self._lock = asyncio.Lock()
        self._epoch = ""
        self._last: Survey | None = None
        self._have: set[Hashable] = set()  # who has the last one

    async def take(
        self, who: Hashable, epoch: str, find: Callable[[], Awaitable[Survey]]
    ) -> Survey:
        """Give what was found in an epoch that is known already; who asks twice looks again."""
        async with self._lock:
            found = self._last
            if found is None or epoch != self._epoch or who in self._have:
                found, self._epoch, self._have = await find(), epoch, set()
            self._have.add(who)
            # There may be many records.
            self._last = found if len(self._have) < self._sharers else None
            return found
