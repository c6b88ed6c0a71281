"""How leases stay ours: renewed from a task of their own, whatever else the process does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType

from caption_flow.errors import QueueFull, QueueUnreachable

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


class Keeper:
    """Calls `renew` three times per lease for as long as its context lasts."""

    def __init__(self, renew: Callable[[], Awaitable[None]], lease_seconds: float) -> None:
        self._renew = renew
        self._every = lease_seconds / RENEWALS_PER_LEASE

    async def __aenter__(self) -> "Keeper":
        self._task = asyncio.create_task(self._run(), name="keeper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._renew()
            except (QueueUnreachable, QueueFull) as exc:
                # The next renewal may still be in time; if not, the lease is lost, not the work.
                logger.warning("Leases not renewed: %s", exc)
