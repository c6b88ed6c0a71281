"""Proxy: what is looked at for all who ask, at most once a second however many they are."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Glance(Generic[T]):
    """Remembers for a moment what a look has found, or why it has found nothing.

    A look goes on though whoever asked for it has gone: others may wait for it, or ask soon.
    """

    def __init__(self, look: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._looked = -math.inf  # when, on the monotonic clock
        self._looking: asyncio.Task[T] | None = None  # the last look

    async def get(self) -> T:
        """Give what was found last, after another look where that is old; raises what it raised."""
        looking = self._looking
        if looking is None or (looking.done() and self._is_old()):
            looking = self._looking = asyncio.create_task(self._look_again())
        return await asyncio.shield(looking)

    def leave(self) -> None:
        """Give up a look that goes on."""
        if self._looking is not None:
            self._looking.cancel()

    def _is_old(self) -> bool:
        return time.monotonic() - self._looked >= self._seconds

    async def _look_again(self) -> T:
        try:
            return await self._look()
        finally:  # nor is a queue that is away asked by each of them
            self._looked = time.monotonic()
