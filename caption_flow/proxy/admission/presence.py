"""Proxy: which connections each contributor has here, told to Redis so that all proxies know."""

import asyncio
import logging
from collections import defaultdict

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant, Role
from caption_flow.lifecycle import Beside
from caption_flow.queue.ports.usage import Usage

logger = logging.getLogger(__name__)

TELL_SECONDS = 5.0  # a third of what Redis waits for us


class Presence(Beside):
    """Says that connections live, for as long as its context lasts."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._here: dict[tuple[Role, str], dict[str, Grant]] = defaultdict(dict)

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str) -> bool:
        """Count a connection; False where there are as many as may be.

        While Redis does not answer nobody knows, and it counts as soon as that does.
        """
        try:
            if not await self._usage.enter(grant, ticket, instead_of=instead_of):
                return False
        except CaptionFlowError as exc:
            logger.debug("A connection of %s does not count yet: %s", grant.name, exc)
        self._here[grant.role, grant.name][ticket] = grant
        return True

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Count a connection no more; where Redis does not answer, it ends by itself."""
        here = self._here[grant.role, grant.name]
        here.pop(ticket, None)
        if not here:
            del self._here[grant.role, grant.name]
        try:
            await self._usage.leave(grant, ticket)
        except CaptionFlowError as exc:
            logger.debug("A connection of %s still counts: %s", grant.name, exc)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            try:
                await self._tell()
            except CaptionFlowError as exc:
                logger.debug("Connections are not told: %s", exc)

    async def _tell(self) -> None:
        for tickets in [dict(of) for of in self._here.values()]:
            await self._usage.stay(next(iter(tickets.values())), list(tickets))
