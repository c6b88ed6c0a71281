"""Proxy: how long workers of each contributor had work in hand, told to the queue as it adds up."""

import asyncio
import logging
import time
from contextlib import suppress

from msgspec import Struct

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant
from caption_flow.lifecycle import Telling
from caption_flow.queue.ports.contributors import Contributors

logger = logging.getLogger(__name__)

TELL_SECONDS = 5.0  # what is told is no older than that


class _Due(Struct):
    """What is to be told of one contributor."""

    anonymous: bool
    seconds: float = 0.0


class Hours(Telling):
    """Tells the queue, for as long as its context lasts."""

    def __init__(self, contributors: Contributors) -> None:
        self._contributors = contributors
        self._due: dict[str, _Due] = {}
        self._new = asyncio.Event()

    def come(self, grant: Grant) -> None:
        """Note that a worker has come: before anybody reads a name, it is told who has none."""
        self._due.setdefault(grant.name, _Due(grant.anonymous)).anonymous = grant.anonymous
        self._new.set()

    def add(self, grant: Grant, seconds: float) -> None:
        """Add to the time of a contributor; it was seen now."""
        self._due.setdefault(grant.name, _Due(grant.anonymous)).seconds += seconds

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_SECONDS):
                    await self._new.wait()
            self._new.clear()
            await self._tell()

    async def _tell(self) -> None:
        while self._due:
            name, due = self._due.popitem()
            try:
                await self._contributors.spent(name, due.seconds, anonymous=due.anonymous)
            except CaptionFlowError as exc:
                # It may have been done, and no time counts twice.
                logger.debug("Not told of %s: %s", name, exc)
                self._due.setdefault(name, _Due(due.anonymous))
                return


class Shift:
    """Times one connection while it has work in hand."""

    def __init__(self, hours: Hours, grant: Grant) -> None:
        self._hours = hours
        self._grant = grant
        self._since: float | None = None  # on the monotonic clock; None: it has none
        hours.come(grant)

    def note(self, *, busy: bool) -> None:
        """Add what has gone by, and go on from here."""
        now = time.monotonic()
        if self._since is not None:
            self._hours.add(self._grant, now - self._since)
        self._since = now if busy else None
