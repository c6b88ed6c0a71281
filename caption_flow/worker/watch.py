"""Worker: the settings of its job, as they change while it runs."""

import logging

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.errors import CaptionFlowError
from caption_flow.queue.ports import Settings, WorkJob

logger = logging.getLogger(__name__)


class Told(Struct, frozen=True):
    """Settings that were read."""

    version: int
    settings: Broadcast
    mark: str

    @classmethod
    def of(cls, published: Settings) -> "Told":
        """Read a document; CaptionFlowError where this version cannot."""
        return cls(published.version, Broadcast.decode(published.document), published.mark)


class Watch:
    """Finds other settings than those that were seen last."""

    def __init__(self, job: WorkJob, seen: str) -> None:
        """`seen`: the mark of those."""
        self._job = job
        self._seen = seen

    async def other(self) -> Told | None:
        """Read them if there are any; what cannot be read is passed over, and said so once."""
        try:
            published = await self._published()
        except CaptionFlowError as exc:
            logger.debug("No look at the settings: %s", exc)
            return None
        if published is None:
            return None
        self._seen = published.mark
        try:
            return Told.of(published)
        except CaptionFlowError as exc:
            logger.warning("Going on without version %d. %s", published.version, exc)
            return None

    async def _published(self) -> Settings | None:
        if await self._job.settings_mark() in {None, self._seen}:
            return None
        return await self._job.settings()
