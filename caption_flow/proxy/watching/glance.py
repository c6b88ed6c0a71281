"""Proxy: what is looked at for all who ask, at most once a second however many they are."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from caption_flow.errors import CaptionFlowError

T = TypeVar("T")


class Glance(Generic[T]):
    """Remembers for a moment what a look has found, or why it has found nothing."""

    def __init__(self, look: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._looked = -math.inf  # when, on the monotonic clock
        self._found: T | CaptionFlowError
        self._looking = asyncio.Lock()

    async def get(self) -> T:
        """Give what was found last, after another look where that is old; raises what it raised."""
        async with self._looking:
            if time.monotonic() - self._looked >= self._seconds:
                await self._look_again()
        if isinstance(self._found, CaptionFlowError):
            raise self._found
        return self._found

    async def _look_again(self) -> None:
        try:
            self._found = await self._look()
        except CaptionFlowError as exc:  # nor is a queue that is away asked by each of them
            self._found = exc
        self._looked = time.monotonic()
