"""How every role waits for a queue that does not answer, or a disk: with back-off, saying so.

A server that hangs takes a command and never answers. Who should end gives it a few seconds more.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from caption_flow.errors import (
    CaptionFlowError,
    QueueFull,
    QueueUnreachable,
    ServerUnreachable,
    StorageBlocked,
)
from caption_flow.lifecycle import Drain, OutOfTime
from caption_flow.retry import Backoff

logger = logging.getLogger(__name__)

T = TypeVar("T")

LAST_SECONDS = 3.0  # for an answer, once the process should end
NEXT_SECONDS = 0.5  # for each one after that, where it did not come

_WAITED_FOR: tuple[tuple[type[CaptionFlowError], str], ...] = (
    (ServerUnreachable, "the server"),
    (QueueUnreachable, "Redis"),
    (QueueFull, "room in Redis"),
    (StorageBlocked, "the folder of the parts"),
)
_WORTH_WAITING = tuple(kind for kind, _ in _WAITED_FOR)


class Interrupted(CaptionFlowError):
    """The process was asked to drain while it waited. For most, to end then is to end well."""

    exit_code = 0


class Patience:
    """Repeats a call until it is answered, or until the process should end.

    Then a call has a few seconds left, and is cut short: it may be done or not, as when the answer
    is lost.
    """

    def __init__(self, drain: Drain, backoff: Backoff | None = None) -> None:
        self.failures = 0  # calls that went unanswered so far
        self._drain = drain
        self._backoff = backoff or Backoff()

    async def __call__(
        self, call: Callable[[], Awaitable[T]], *, last: bool = False, whole: bool = False
    ) -> T:
        """Call until answered. `last`: a farewell, tried while draining too, but only once.

        `whole`: it is not cut short, as what a disk is in the middle of.
        """
        for delay in self._backoff.delays():
            try:
                return await (call() if whole else self._soon(call))
            except _WORTH_WAITING as exc:
                self.failures += 1
                if last or self._drain.asked:
                    what = next(name for kind, name in _WAITED_FOR if isinstance(exc, kind))
                    raise Interrupted(f"Stopped while waiting for {what}. {exc}") from exc
                logger.warning("%s Next try in %.1f s", exc, delay)
            await self._drain.wait(delay)
        raise AssertionError  # delays() has no end

    async def _soon(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call; once the process should end, for a moment more."""
        seconds = NEXT_SECONDS if self._drain.in_vain else LAST_SECONDS
        try:
            return await self._drain.within(seconds, call)
        except OutOfTime as exc:
            raise Interrupted(
                f"Stopped while waiting for Redis. No answer came within {seconds:g} s."
            ) from exc
