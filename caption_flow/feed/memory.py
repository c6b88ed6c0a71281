"""Feed: a feeder keeps in mind the newest settings of its job, whoever published them.

It brings those that it was given when it starts, goes by those that the job has, and brings back
what it has seen last should Redis forget, as after a flush or a crash.
"""

import asyncio
import logging

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import changes
from caption_flow.errors import CaptionFlowError
from caption_flow.feed.whereabouts import Whereabouts
from caption_flow.lifecycle import Beside
from caption_flow.queue.ports import FeedQueue, Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0  # between two looks at the settings
SHOWN = 5  # paths of settings that differ


async def bring(
    queue: FeedQueue, ours: Broadcast, dataset: str, whereabouts: Whereabouts
) -> "SettingsMemory":
    """Make the settings those of the job where they are new to it; say so where it keeps others."""
    first = 1
    if await queue.settings_mark() is None:
        first += await whereabouts.newest_version()
    settings = await queue.publish(ours.encode(), dataset, least=first)
    _compare(ours, settings)
    return SettingsMemory(queue, settings, dataset)


def _compare(ours: Broadcast, settings: Settings) -> None:
    paths = [change.path for change in changes(Broadcast.decode(settings.document), ours)]
    if paths:
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        logger.warning(
            "The job keeps its settings of version %d, from %s. Those given here were brought "
            'before, and differ in %s%s; publish them with "caption-flow reload_config"',
            settings.version,
            settings.by or "an earlier feeder",
            ", ".join(paths[:SHOWN]),
            more,
        )


class SettingsMemory(Beside):
    """Looks at the settings now and then, for as long as its context lasts."""

    def __init__(self, queue: FeedQueue, settings: Settings, dataset: str) -> None:
        self._queue = queue
        self._dataset = dataset
        self._take(settings)

    async def introduce(self) -> None:
        """Tell the queue the settings should it have forgotten them, and go by those it has."""
        await self._queue.remind(self._seen, self._dataset)
        settings = await self._queue.settings()
        if settings is not None and settings != self._seen:
            logger.info("The job has settings of version %d, by %s", settings.version, settings.by)
            self._take(settings)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if await self._queue.settings_mark() != self._seen.mark:
                    await self.introduce()
            except CaptionFlowError as exc:
                logger.debug("No look at the settings: %s", exc)

    def _take(self, settings: Settings) -> None:
        self._seen = settings
        self._queue.serve([stage.name for stage in Broadcast.decode(settings.document).stages])
