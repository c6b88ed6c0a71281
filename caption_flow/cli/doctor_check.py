"""Command line: one check of the doctor, which may take for ever, or fail as nobody foresaw."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from caption_flow.doctor.finding import Finding, problem
from caption_flow.engine.aside import aside
from caption_flow.errors import CaptionFlowError

T = TypeVar("T")

logger = logging.getLogger(__name__)

SECONDS = 120.0  # for one check; a disk, a driver or a host may never answer


async def in_time(check: str, call: Callable[[], T], found: list[Finding]) -> T | None:
    """Call in a thread of its own; None, and one more in `found`, where that comes to no end.

    Raises CaptionFlowError, which has sentences of its own.
    """

    async def bounded() -> T | None:
        limit = asyncio.timeout(SECONDS)
        try:
            async with limit:
                return await aside(call)
        except TimeoutError:
            if not limit.expired():  # but that of somebody whom the check has asked
                raise
            found.append(_endless(check))
            return None

    return await guarded(check, bounded(), found)


async def guarded(check: str, work: Awaitable[T], found: list[Finding]) -> T | None:
    """Work; None, and one more in `found`, where that fails as nobody has foreseen."""
    try:
        return await work
    except CaptionFlowError:
        raise
    except Exception as exc:  # of any kind: it is one check that fails, and others go on
        logger.debug("The check of %s has failed", check, exc_info=True)
        found.append(_failed(check, exc))
        return None


def _endless(check: str) -> Finding:
    said = f"It was not done after {SECONDS:.0f} s."
    return problem(check, said, "See to the network, or to the disk or driver that it asks.")


def _failed(check: str, error: Exception) -> Finding:
    said = f"This check failed ({type(error).__name__}: {' '.join(str(error).split())[:300]})."
    return problem(check, said, "Report it, please; --verbose shows where.")
