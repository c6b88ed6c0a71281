"""Worker: the encoded images of claimed samples, a bounded number of bytes ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from caption_flow.model import EntryId, Lease
from caption_flow.patience import Patience
from caption_flow.queue.ports import WorkQueue

GROUP_SAMPLES = 8  # images asked for at once; more a time are no faster
GROUP_BYTES = 4 << 20
HELD_BYTES = 128 << 20  # encoded images in the worker's memory before it fetches no more


class Fetcher:
    """Gives claimed samples with their images, to one caller or several at once."""

    def __init__(self, queue: WorkQueue, patience: Patience) -> None:
        self._queue = queue
        self._patience = patience
        self._wanted: deque[Lease] = deque()
        self._held: dict[EntryId, int] = {}
        self._held_bytes = 0
        self._changed = asyncio.Event()

    def want(self, leases: Iterable[Lease]) -> None:
        """Queue samples to be fetched."""
        self._wanted.extend(leases)
        self._changed.set()

    def drop(self, entry: EntryId) -> None:
        """Note that the image of a sample is no longer needed."""
        self._held_bytes -= self._held.pop(entry, 0)
        self._changed.set()

    async def fetched(self) -> AsyncIterator[tuple[Lease, bytes | None]]:
        """Yield samples with their images, without end; None where the image is gone."""
        while True:
            while not self._wanted or self._held_bytes >= HELD_BYTES:
                self._changed.clear()
                await self._changed.wait()
            group = self._next_group()
            images = await self._patience(lambda g=group: self._queue.images(g))  # type: ignore[misc]
            for lease in group:
                data = images.get(lease.entry)
                self._held[lease.entry] = len(data or b"")
                self._held_bytes += len(data or b"")
                yield lease, data

    def _next_group(self) -> list[Lease]:
        group: list[Lease] = []
        size = 0
        while self._wanted and len(group) < GROUP_SAMPLES:
            size += self._wanted[0].sample.bytes
            if group and size > GROUP_BYTES:
                break
            group.append(self._wanted.popleft())
        return group
