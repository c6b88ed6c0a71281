"""Ways in which a sink, or the Redis under it, comes to a sudden end."""

import fcntl
from collections.abc import Sequence
from typing import Any

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import OpenPart, PartFolder
from caption_flow.errors import QueueUnreachable
from caption_flow.model import Caption, EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from tests.roles import LEASE, Roles


class Crash(Exception):
    """The process is gone; nothing after this happens."""


class MortalFolder(PartFolder):
    """A folder whose writers can die in the middle of this process."""

    def __init__(self, roles: Roles, *, before_publish: bool = False, after: bool = False) -> None:
        super().__init__(roles.folder.path.parent, roles.folder.path.name)
        self._before = before_publish
        self._after = after
        self.opened: list[OpenPart] = []

    def open(self, agreed: ColumnSchema) -> OpenPart:
        part = super().open(agreed)
        self.opened.append(part)
        return part

    def publish(self, part: str) -> None:
        if self._before:
            raise Crash
        super().publish(part)
        if self._after:
            raise Crash

    def die(self) -> None:
        """Give the locks back, as the kernel does."""
        for part in self.opened:
            if not part._file.closed:
                fcntl.flock(part._file, fcntl.LOCK_UN)

    def bury(self) -> None:
        """Close what the dead left open, which this process must and a dead one need not."""
        for part in self.opened:
            if not part._file.closed:
                part._writer.close()
                part._file.close()


class CrashingQueue(RedisCaptionQueue):
    """Comes to its end around a commit."""

    def __init__(self, roles: Roles, *, before: bool = False, after: bool = False) -> None:
        super().__init__(roles.job, name="mortal", lease_seconds=LEASE)
        self._before = before
        self._after = after

    async def commit(self, part: str, record: bytes, entries: Sequence[EntryId]) -> list[EntryId]:
        if self._before:
            raise Crash
        lost = await super().commit(part, record, entries)
        if self._after:
            raise Crash
        return lost


class Snapshot:
    """Redis as it was, to go back to: what a crash of the server does to its last second."""

    def __init__(self, roles: Roles) -> None:
        self._client: Any = roles.client
        lane = roles.job.lane
        self._keys = (lane.captions, lane.parts, lane.counts)
        self._dumps: dict[str, bytes | None] = {}

    async def take(self) -> None:
        self._dumps = {key: await self._client.dump(key) for key in self._keys}

    async def restore(self) -> None:
        for key, dump in self._dumps.items():
            await self._client.delete(key)
            if dump is not None:
                await self._client.restore(key, 0, dump, replace=True)


class ForgettingQueue(RedisCaptionQueue):
    """Redis goes back to a snapshot once, and its clients find it gone for a moment."""

    def __init__(self, roles: Roles, snapshot: Snapshot) -> None:
        super().__init__(roles.job, name="forgetful", lease_seconds=LEASE)
        self._snapshot = snapshot
        self.goes_now = False
        self.is_back = False

    async def read(self, count: int) -> list[Caption]:
        if self.goes_now and not self.is_back:
            await self._snapshot.restore()
            await self.others_are_quicker()
            self.is_back = True
            raise QueueUnreachable("No answer.")
        return await super().read(count)

    async def others_are_quicker(self) -> None:
        """What the other clients do before this one finds the server again."""
