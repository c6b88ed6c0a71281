"""Worker: the encoded images of claimed samples that lie in the queue, some ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from caption_flow.model import Lease
from caption_flow.patience import Patience
from caption_flow.queue.ports import WorkQueue
from caption_flow.worker.held import Held
from caption_flow.worker.mean import Mean
from caption_flow.worker.tuner import FETCH_SAMPLES

GROUP_BYTES = 4 << 20


class Fetcher:
    """Gives claimed samples with their images, to one caller or several at once."""

    def __init__(self, queue: WorkQueue, patience: Patience, held: Held) -> None:
        self._queue = queue
        self._patience = patience
        self._held = held
        self._wanted: deque[Lease] = deque()
        self._waiting = asyncio.Event()
        self.fetching = Mean()  # seconds
        self.size = Mean()  # bytes of an image

    def want(self, leases: Iterable[Lease]) -> None:
        """Queue samples to be fetched."""
        self._wanted.extend(leases)
        self._waiting.set()

    async def fetched(self) -> AsyncIterator[tuple[Lease, bytes | None]]:
        """Yield samples with their images, without end; None where the image is gone."""
        while True:
            await self._wait()
            group = self._next_group()
            images = await self._patience(lambda g=group: self.fetching.of(self._queue.images(g)))  # type: ignore[misc]
            self.size.note(sum(map(len, images.values())) / len(group))
            for lease in group:
                data = images.get(lease.entry)
                self._held.add(lease.entry, len(data or b""))
                yield lease, data

    async def _wait(self) -> None:
        """Wait until a sample is wanted and there is room."""
        while not self._wanted or self._held.full:
            if self._wanted:
                await self._held.change()
            else:
                self._waiting.clear()
                await self._waiting.wait()

    def _next_group(self) -> list[Lease]:
        group: list[Lease] = []
        size = 0
        while self._wanted and len(group) < FETCH_SAMPLES:
            size += self._wanted[0].sample.bytes
            if group and size > GROUP_BYTES:
                break
            group.append(self._wanted.popleft())
        return group
