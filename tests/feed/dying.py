"""A feeder as a process of its own that dies of one image, or of nothing.

    python -m tests.feed.dying URL FOLDER KILLER SAMPLES

Feeds FOLDER/in until its end; of FOLDER/in/KILLER it dies by SIGKILL while it looks, as of the
kernel when memory runs out. SAMPLES may be in flight. Says the name of what it looks at.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from caption_flow.feed import planner
from caption_flow.image import ImageFacts, inspect
from caption_flow.model import Listed, Raw
from caption_flow.queue import consumer
from caption_flow.queue.connect import connect
from caption_flow.queue.ports import Budget
from tests.made import folder_source
from tests.roles import Roles


class Telling:
    """A folder whose samples are named on the standard output as they are read."""

    def __init__(self, root: Path) -> None:
        self._source = folder_source(root)
        self.dataset = self._source.dataset
        self.fingerprint = self._source.fingerprint
        self.size = self._source.size
        self.shards = self._source.shards
        self.names = self._source.names

    def samples(self, shard: str, names: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        for raw in self._source.samples(shard, names, fingerprint):
            yield raw
            print(raw.id, flush=True)


async def feed(url: str, root: Path, killer: str, samples: int) -> None:
    deadly = (root / "in" / killer).read_bytes() if killer else None

    def inspect_or_die(data: bytes, **bounds: int) -> ImageFacts:
        if data == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return inspect(data, **bounds)

    sys.modules["caption_flow.image.fit"].inspect = inspect_or_die  # type: ignore[attr-defined]
    consumer.BLOCK_MS = 20  # type: ignore[misc]
    planner.BEATEN_SECONDS = 0.05
    async with connect(url, role="test") as connections:
        roles = Roles(connections, root)
        queue = roles.feed_queue(f"feed-{os.getpid()}")
        budget = Budget(bytes=1 << 30, samples=samples)
        await roles.feeder(Telling(root / "in"), budget=budget, queue=queue).run()


if __name__ == "__main__":
    asyncio.run(feed(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
