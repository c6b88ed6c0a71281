"""Ways in which a sink, or the Redis under it, comes to a sudden end."""

import fcntl
import shutil
from collections.abc import Sequence

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from caption_flow.model import EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from tests.made import LEASE
from tests.redis_server import RedisServer
from tests.roles import Roles


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

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        if self._before:
            raise Crash
        lost = await super().commit(part, record, entries, epoch=epoch)
        if self._after:
            raise Crash
        return lost


class Snapshot:
    """A server as it was, to be set back to: what a crash does to its last second."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._copy = server.directory.with_name("snapshot")

    def take(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._server.directory, self._copy)

    def restore(self) -> None:
        """Kill the server and start it with what it had then."""
        self._server.kill()
        shutil.rmtree(self._server.directory)
        shutil.copytree(self._copy, self._server.directory)
        self._server.start()
