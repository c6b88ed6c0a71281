"""Fetch: the memory of downloads made ahead, shared out among those in flight.

The one that is wanted next always gets room, so that things move. Another that finds none drops
what it has and begins anew when there is some: memory stays bounded, whatever servers send.
"""

import asyncio

from caption_flow.fetch.client import Client
from caption_flow.fetch.failures import FetchFailed
from caption_flow.fetch.limits import Fetched, Request

_REMEMBER = 0.9  # of the mean, at each new body


class Room:
    """So many bytes for all; used on the event loop, looked at and emptied from another thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.next = 0  # number of the download that is wanted next
        self._mean = 0.0  # bytes of a body, of late
        self._changed = asyncio.Event()

    def tight(self, unfinished: int) -> bool:
        """Whether those in flight will fill it, as bodies go."""
        return self.used + unfinished * self._mean >= self.limit

    def add(self, count: int) -> None:
        """Count bytes that are held from now on, or no longer."""
        self.used += count
        if count < 0:
            self._changed.set()

    def finished(self, size: int) -> None:
        """Learn the size of a body."""
        weight = _REMEMBER if self._mean else 0.0
        self._mean = self._mean * weight + size * (1 - weight)

    def taken(self, share: "Share") -> None:
        """Let go of a download that was handed on; the one after it is wanted next."""
        self.next = share.number + 1
        share.drop()
        self._changed.set()

    async def change(self) -> None:
        """Wait until there is more room, or another is wanted next."""
        self._changed.clear()
        await self._changed.wait()


class NoRoom(Exception):  # noqa: D101 - never leaves this file
    pass


class Share:
    """What one download holds."""

    def __init__(self, room: Room, number: int) -> None:
        self.number = number
        self._room = room
        self._held = 0
        self._need = 0  # bytes to wait for, after there was no room

    def take(self, count: int) -> None:
        """Hold so many bytes more, or raise NoRoom."""
        if self._room.used + count > self._room.limit and not self._wanted_next:
            self._need = 2 * (self._held + count)
            raise NoRoom
        self._held += count
        self._room.add(count)

    def drop(self) -> None:
        """Hold nothing any more."""
        self._room.add(-self._held)
        self._held = 0

    async def wait(self) -> None:
        """Wait until it is worth beginning."""
        while self._room.used + self._need > self._room.limit and not self._wanted_next:
            await self._room.change()

    def finished(self) -> None:
        """Note that its body is whole."""
        self._room.finished(self._held)

    @property
    def _wanted_next(self) -> bool:
        return self.number == self._room.next


async def fetch_into(client: Client, request: Request, share: Share) -> Fetched | FetchFailed:
    """Fetch in the room there is, however often that means beginning anew."""
    while True:
        await share.wait()
        try:
            fetched = await client.fetch(request, share)
        except NoRoom:
            share.drop()
        except FetchFailed as exc:
            share.drop()
            return exc
        else:
            share.finished()
            return fetched
