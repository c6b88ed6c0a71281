"""How leases stay ours: renewed from a task of their own, whatever else the process does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


class Keeper(Beside):
    """Calls `renew` three times per lease for as long as its context lasts."""

    def __init__(self, renew: Callable[[], Awaitable[None]], lease_seconds: float) -> None:
        self._renew = renew
        self._every = lease_seconds / RENEWALS_PER_LEASE

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._renew()
            except CaptionFlowError as exc:
                # The next renewal may still be in time; if not, the lease is lost, not the work.
                logger.warning("Leases not renewed: %s", exc)
