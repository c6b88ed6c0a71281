"""Fetch: one download, tried as often as may help and within its time."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from caption_flow.fetch.clock import Clock
from caption_flow.fetch.failures import FetchFailed
from caption_flow.fetch.limits import LONGEST_WAIT, DownloadLimits
from caption_flow.retry import Backoff

T = TypeVar("T")

BACKOFF = Backoff(first=0.2, ceiling=10.0)


async def persist(one_try: Callable[[Clock], Awaitable[T]], limits: DownloadLimits, host: str) -> T:
    """Try until it succeeds, until no further try here would help, or until the time is over."""
    deadline: float | None = None
    for number in count(1):
        clock = Clock(limits.seconds, f"a download from {host}", deadline)
        try:
            async with clock:
                return await one_try(clock)
        except FetchFailed as exc:
            failed = exc
        deadline = deadline or clock.first + limits.deadline
        if not failed.again or number >= limits.tries or failed.wait > LONGEST_WAIT:
            raise failed
        pause = max(BACKOFF.delay(number), failed.wait)
        if asyncio.get_running_loop().time() + pause >= deadline:
            raise failed
        await asyncio.sleep(pause)
    raise AssertionError  # count() has no end
