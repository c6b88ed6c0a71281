"""Proxy: what one process sees of its job, for all its sessions: settings, and who is let in.

It looks twice a second. Settings that were seen before are kept for a while, since captions made
by them still come in.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast, fingerprint, without_secrets
from caption_flow.config.vllm import Stage
from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Settings, StandingOrders
from caption_flow.wire.frames import Orders, SettingsTold

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 0.1  # between two looks, whoever asks for them
REMEMBERED = 8  # documents


class Known(Struct, frozen=True):
    """Settings that were seen, ready to be looked up."""

    version: int
    settings: Broadcast
    order: tuple[str, ...]  # the stages
    stages: Mapping[str, Stage]
    prompts: Mapping[str, str]  # fingerprints by stage

    @classmethod
    def of(cls, published: Settings) -> "Known":
        """Read a document; CaptionFlowError where this version cannot."""
        settings = Broadcast.decode(published.document)
        return cls(
            version=published.version,
            settings=settings,
            order=tuple(stage.name for stage in settings.stages),
            stages={stage.name: stage for stage in settings.stages},
            prompts={stage.name: fingerprint(stage) for stage in settings.stages},
        )


class Watcher(Protocol):
    """Who is told: a session."""

    def look(self) -> None:
        """Compare what the view has with what was told last."""
        ...


class View(Beside):
    """Looks for as long as its context lasts."""

    def __init__(self, job: RedisJob) -> None:
        self.newest: Known | None = None  # None while nobody has published any
        self.told: SettingsTold | None = None  # likewise, as it goes to clients
        self.watchers: set[Watcher] = set()
        self._job = job
        self._looked = -math.inf  # when, on the monotonic clock
        self._looking = asyncio.Lock()
        self._mark: str | None = None  # of the newest
        self._standing = StandingOrders()
        self._recent: deque[Known] = deque(maxlen=REMEMBERED)  # the newest first

    def of_version(self, version: int) -> list[Known]:
        """Find settings seen lately; after a flush several may have one version."""
        return [known for known in self._recent if known.version == version]

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages that the job ever had, as far as is known."""
        return self.told.stages if self.told else ()

    def orders(self, member: str) -> Orders:
        """What operators want of a client now."""
        orders = self._standing.of(member)
        return Orders(paused=orders.paused, drain=orders.drain)

    async def look_again(self) -> None:
        """Look before it is time; a look serves all who have asked before it began."""
        asked = time.monotonic()
        async with self._looking:
            if self._looked < asked:
                await asyncio.sleep(self._looked + AGAIN_SECONDS - asked)
                await self.look()

    async def look(self) -> None:
        """Read what may have changed, and let the sessions see for themselves."""
        self._looked = time.monotonic()
        try:
            await self._look()
        except CaptionFlowError as exc:
            logger.debug("No look at the job: %s", exc)
        for watcher in list(self.watchers):
            watcher.look()

    async def _look(self) -> None:
        self._standing = await self._job.standing_orders()
        mark = await self._job.settings_mark()
        if mark is None or mark == self._mark:
            return
        published = await self._job.settings()
        if published is None:
            return
        try:
            known = Known.of(published)
            _refuse_lanes(known)
        except CaptionFlowError as exc:
            if self._mark != published.mark:
                logger.warning("Going on without version %d. %s", published.version, exc)
            self._mark = published.mark
            return
        former = await self._job.former_stages(known.order)
        self._mark = published.mark
        self._recent.appendleft(known)
        self.newest = known
        stages = (*known.order, *former)
        document = without_secrets(known.settings).encode()
        self.told = SettingsTold(published.version, document, published.by, stages)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # of any kind: nobody would notice the end of this task
                logger.exception("A look at the job has failed")
            await asyncio.sleep(LOOK_SECONDS)


def _refuse_lanes(known: Known) -> None:
    if known.settings.lanes > 1:
        raise CaptionFlowError(
            f"The job has {known.settings.lanes} lanes, and a proxy does not know of lanes yet."
        )
