"""Worker: the encoded images in its memory, of a bounded number of bytes.

Images of the queue are fetched while there is room. One that is downloaded may be of any size,
which nobody knows in advance: it takes its room piece by piece, and where there is none it gives
back what it has and begins anew once there is.
"""

import asyncio

from caption_flow.model import EntryId

HELD_BYTES = 128 << 20  # beyond that only an image that is alone, and larger


class NoRoom(Exception):
    """A download has to wait for others; it never leaves the worker."""


class Held:
    """Counts what is held, by sample."""

    def __init__(self) -> None:
        self.bytes = 0
        self._images: dict[EntryId, int] = {}
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether no more should be fetched."""
        return self.bytes >= HELD_BYTES

    def admits(self, entry: EntryId, count: int) -> bool:
        """Whether there is room for so many bytes more of an image. There is if it is alone."""
        alone = self.bytes == self._images.get(entry, 0)
        return alone or self.bytes + count <= HELD_BYTES

    def add(self, entry: EntryId, count: int) -> None:
        """Hold so many bytes more of an image."""
        self._images[entry] = self._images.get(entry, 0) + count
        self.bytes += count

    def drop(self, entry: EntryId) -> None:
        """Hold nothing of an image any more."""
        self.bytes -= self._images.pop(entry, 0)
        self._changed.set()

    async def change(self) -> None:
        """Wait until something was dropped."""
        self._changed.clear()
        await self._changed.wait()


class Download:
    """The share of one image that is downloaded."""

    def __init__(self, held: Held, entry: EntryId) -> None:
        self._held = held
        self._entry = entry
        self._size = 0
        self._need = 0  # bytes worth waiting for, after there was no room

    def take(self, count: int) -> None:
        """Hold so many bytes more, or raise NoRoom."""
        if not self._held.admits(self._entry, count):
            # Twice what it had come to, lest it ends there again; large ones wait for half of all.
            self._need = min(2 * (self._size + count), HELD_BYTES // 2)
            raise NoRoom
        self._size += count
        self._held.add(self._entry, count)

    def drop(self) -> None:
        """Hold nothing any more."""
        self._size = 0
        self._held.drop(self._entry)

    async def room(self) -> None:
        """Wait until it is worth beginning."""
        while self._held.full or not self._held.admits(self._entry, self._need):
            await self._held.change()
