"""Proxy: what all sessions of one process share."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from caption_flow.config.proxy import ProxyConfig
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant
from caption_flow.lifecycle import cancel
from caption_flow.proxy.checks.checks import Checks
from caption_flow.proxy.hours import Hours
from caption_flow.proxy.line import Line
from caption_flow.proxy.ports import Admission
from caption_flow.proxy.supply import Supply
from caption_flow.proxy.view import View
from caption_flow.queue.job import RedisJob
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.relay import RelayQueue
from caption_flow.retry import Backoff

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

ABANDON_TRIES = 8  # then leases run out by themselves


class Held(Protocol):
    """What is held for a client under a name of its own."""

    async def abandon(self, *, attempted: bool) -> None:
        """Hand it all back; `attempted`: nobody knows what became of it."""
        ...


class Figures(Struct):
    """What a proxy counts."""

    connections: int = 0  # open now
    samples: int = 0  # sent
    bytes: int = 0  # of images, sent
    captions: int = 0  # samples taken with captions
    failed: int = 0  # samples given up
    fed: int = 0  # samples offered
    breaches: int = 0


class Common(Struct):
    """The job, and what this process knows and does for all its sessions."""

    job: RedisJob
    admission: Admission
    view: View
    line: Line
    hours: Hours
    reclaims: Reclaims
    config: ProxyConfig
    lease_seconds: float  # while the job has no settings that say
    supply: Supply = Supply()
    checks: Checks | None = None  # None: nobody is checked
    figures: Figures = field(default_factory=Figures)
    sessions: dict[str, "Session"] = field(default_factory=dict)  # by ticket
    _later: set["asyncio.Task[None]"] = field(default_factory=set)

    def queue(self, grant: Grant, name: str) -> RelayQueue:
        """Make the queue of one channel of a client."""
        if self.checks is not None:
            return self.checks.queue(grant, name, self.reclaims)
        return RelayQueue(self.job, name=name, contributor=grant.name, reclaims=self.reclaims)

    def abandon_later(self, queues: Sequence[Held]) -> None:
        """Let a client that was cut off come back; else what it held goes to others."""
        task = asyncio.create_task(self._abandon_later(queues))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def abandon(self, queues: Sequence[Held], *, attempted: bool) -> None:
        """Hand back what is still held under the names of these."""
        for queue in queues:
            for delay in (Backoff().delay(n) for n in range(1, ABANDON_TRIES + 1)):
                try:
                    await queue.abandon(attempted=attempted)
                    break
                except CaptionFlowError as exc:
                    logger.debug("Not handed back: %s", exc)
                    await asyncio.sleep(delay)

    async def close(self) -> None:
        """Wait for nobody any more."""
        await cancel(*self._later)

    async def _abandon_later(self, queues: Sequence[Held]) -> None:
        await asyncio.sleep(self.config.resume_seconds)
        await self.abandon(queues, attempted=True)
