"""Feed, with caution: a chunk over which feeders died is looked at one sample at a time.

What kills a feeder leaves no word. So each look is on record while it lasts, and a sample whose
looks end with their feeder time after time is given up unseen. Whatever else ends feeders does not
do so in these few moments of one and the same sample.
"""

import asyncio

from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import Source
from caption_flow.feed.look import killer, offers
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import Chunk, ChunkLease, Listed, Offer
from caption_flow.patience import Patience
from caption_flow.queue.ports import Begun, FeedQueue

CAUTIOUS_FROM = 3  # which delivery of a chunk; what ended the earlier ones may be anything
MOST_LOOKS = 3  # at one sample; that many feeders die of it before it is given up


def needs_caution(lease: ChunkLease) -> bool:
    """Whether so many held this chunk before that it may be what they died of."""
    return lease.attempt >= CAUTIOUS_FROM


class LoneLooks:
    """Looks at the sample at a chunk's cursor. Nothing else is to be looked at meanwhile."""

    def __init__(
        self, queue: FeedQueue, source: Source, *, images: ImagesConfig, drain: Drain
    ) -> None:
        self._queue = queue
        self._source = source
        self._images = images
        self._drain = drain
        self._patience = Patience(drain)

    async def look(self, lease: ChunkLease) -> tuple[Begun, list[Offer]]:
        """Make an offer of the sample; none where the chunk is not ours, or stands elsewhere."""
        begun = await self._patience(lambda: self._queue.begin_look(lease))
        if begun.status != "ok":
            return begun, []
        [wanted, *_] = lease.chunk.listed(lease.cursor)
        if begun.looks > MOST_LOOKS:
            return begun, [killer(lease.chunk, wanted.name, MOST_LOOKS)]
        looking = asyncio.create_task(asyncio.to_thread(self._look, lease.chunk, wanted))
        try:
            await self._over(looking)
        finally:
            # Before anything is waited for: whoever is killed then is not killed by this sample.
            await self._patience(lambda: self._queue.end_look(lease))
        return begun, await looking

    def _look(self, chunk: Chunk, wanted: Listed) -> list[Offer]:
        batches = offers(self._source, chunk, [wanted], self._images)
        return [one for batch in batches for one in batch]

    async def _over(self, looking: "asyncio.Task[list[Offer]]") -> None:
        """Wait for a look; or for the wish to end, after which patience may end with SIGKILL.

        So it does where a look is long since the disk does not answer, which is no image's fault.
        """
        asked = asyncio.create_task(self._drain.wait())
        try:
            await asyncio.wait({looking, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(asked)
