"""How leases stay ours: renewed from a thread of its own, whatever else the process does.

A model that loads or a long computation holds the event loop of its role for longer than a
lease. Only a loop that has been still for very long counts as hung, and its leases end.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from threading import Thread
from typing import Generic, Self, TypeAlias, TypeVar

from caption_flow.lifecycle import cancel
from caption_flow.retry import Backoff

logger = logging.getLogger(__name__)

T = TypeVar("T")  # what is leased: a sample, a chunk, an entry

# Renews leases and answers those that were lost.
Renew: TypeAlias = Callable[[Sequence[T]], Awaitable[list[T]]]
# Opens the way to renew, in the event loop that asks.
Renewals: TypeAlias = Callable[[], AbstractAsyncContextManager[Renew[T]]]

RENEWALS_PER_LEASE = 3
HUNG_SECONDS = 600.0  # without a sign of life of the role's event loop
FIRST_RETRY = 0.2  # seconds


class Keeper(Generic[T]):
    """Renews what is held three times per lease, for as long as its context lasts."""

    def __init__(
        self,
        renewals: Renewals[T],
        *,
        held: Callable[[], Sequence[T]],
        lost: Callable[[list[T]], None],
        lease_seconds: float,
    ) -> None:
        """`held` is called in another thread; `lost` in the event loop of the context."""
        self._renewals = renewals
        self._held = held
        self._lost = lost
        self._every = lease_seconds / RENEWALS_PER_LEASE
        self._sign = 0.0  # when the role's event loop last ran, on the monotonic clock

    async def __aenter__(self) -> Self:
        self._home = asyncio.get_running_loop()
        started: asyncio.Future[None] = self._home.create_future()
        self._thread = Thread(target=self._work, args=(started,), name="keeper", daemon=True)
        self._give_signs()
        self._thread.start()
        await started
        return self

    async def __aexit__(self, *_: object) -> None:
        self._signs.cancel()
        with suppress(RuntimeError):  # its loop is closed: it ended by itself
            self._away.call_soon_threadsafe(self._end)
        await asyncio.to_thread(self._thread.join)

    def _give_signs(self) -> None:
        self._sign = time.monotonic()
        self._signs = self._home.call_later(self._every, self._give_signs)

    def _work(self, started: "asyncio.Future[None]") -> None:
        with asyncio.Runner() as runner:
            self._away = runner.get_loop()
            self._ended = asyncio.Event()
            self._home.call_soon_threadsafe(started.set_result, None)
            with suppress(asyncio.CancelledError):
                runner.run(self._renew_until_ended())

    def _end(self) -> None:
        self._ended.set()

    async def _renew_until_ended(self) -> None:
        renewing = asyncio.create_task(self._renew_for_ever())
        ending = asyncio.create_task(self._ended.wait())
        await asyncio.wait({renewing, ending}, return_when=asyncio.FIRST_COMPLETED)
        await cancel(renewing, ending)

    async def _renew_for_ever(self) -> None:
        retries = Backoff(first=FIRST_RETRY, ceiling=self._every)
        failures = 0
        async with self._renewals() as renew:
            while True:
                await asyncio.sleep(retries.delay(failures) if failures else self._every)
                try:
                    await self._renew(renew)
                    failures = 0
                except Exception as exc:
                    # The next one may still be in time; if not, the lease is lost, not the work.
                    # Of any kind: nobody waits for this thread, whose end no one would notice.
                    failures += 1
                    logger.warning("Leases not renewed: %s", exc)

    async def _renew(self, renew: Renew[T]) -> None:
        still = time.monotonic() - self._sign
        if still > HUNG_SECONDS:
            logger.error("Nothing has moved here for %.0f s; the leases end", still)
            return
        lost = await renew(self._held())
        if lost:
            with suppress(RuntimeError):  # the role has ended meanwhile
                self._home.call_soon_threadsafe(self._lost, lost)
