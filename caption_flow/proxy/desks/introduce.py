"""Proxy: feeders bring settings to a job that has none, and keep those that it has.

Others than those are for an operator to publish, with reload_config.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from caption_flow.config.broadcast import without_secrets
from caption_flow.dataset.versions import newest_version
from caption_flow.errors import CaptionFlowError
from caption_flow.proxy.desks import brought
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Settings
from caption_flow.wire.feeding import Publish, Published, Remind
from caption_flow.wire.frames import Did, Refused

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)


class Introduction:
    """Introduces the job to its queue, for one session."""

    def __init__(self, session: "Session", queue: RedisFeedQueue) -> None:
        self._session = session
        self._common = session.common
        self._queue = queue

    async def publish(self, publish: Publish, payload: memoryview) -> None:
        """Make settings those of the job if it has none; answers those that it has."""
        job = self._common.job
        if await job.settings_mark() is None:
            document = bytes(payload)
            try:
                self._queue.serve([stage.name for stage in brought.settings(document).stages])
            except CaptionFlowError as exc:
                await self._refuse(publish.id, str(exc))
                return
            await self._begin(document, publish.dataset)
        settings, owner = await job.settings(), await job.dataset()
        if settings is None or owner != publish.dataset:
            of = f"another data set, {owner}" if owner else "nothing yet"
            await self._refuse(publish.id, f'The job "{job.job}" of this proxy captions {of}.')
            return
        await self._common.view.look()
        told = without_secrets(brought.settings(settings.document)).encode()
        published = Published(publish.id, settings.version, settings.by, owner)
        await self._session.outbox.send(published, told)

    async def remind(self, remind: Remind, payload: memoryview) -> None:
        """Bring settings back that the queue has forgotten: those seen here, else the feeder's."""
        job, newest, told = self._common.job, self._common.view.newest, self._common.view.told
        now = await job.settings()
        if newest is not None and told is not None:
            # Not as the feeder has them: without the secrets that are not for clients.
            seen = Settings(newest.version, newest.settings.encode(), told.by)
            if now is None or now.version < seen.version:
                await self._remind(seen, remind.dataset)
        elif now is None:
            document = bytes(payload)
            brought.settings(document)
            await self._remind(Settings(remind.version, document, self._by), remind.dataset)
        await self._session.outbox.answer(Did(remind.id))

    async def _begin(self, document: bytes, dataset: str) -> None:
        folder = self._common.supply.folder
        newest = await asyncio.to_thread(newest_version, folder) if folder else 0
        await self._queue.begin(document, dataset, version=newest + 1, by=self._by)
        logger.info("%s has brought settings", self._session.member)

    async def _remind(self, seen: Settings, dataset: str) -> None:
        order = [stage.name for stage in brought.settings(seen.document).stages]
        self._queue.serve(order)
        await self._queue.remind(seen, dataset)
        await self._common.view.look()

    @property
    def _by(self) -> str:
        return f"feed of {self._session.grant.name} on {self._session.hello.host}"

    async def _refuse(self, id_: int, why: str) -> None:
        await self._session.outbox.answer(Refused(id_, "unfit", why))
