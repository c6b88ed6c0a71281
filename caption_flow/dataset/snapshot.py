"""Data set: the finished parts at one moment, for who reads them all while others work on.

Parts may be merged meanwhile. Those that were listed before stay under a hidden name for as long
as somebody holds the folder's lock, so that each can be opened to the end.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from msgspec import Struct

from caption_flow.dataset.disk import on_disk

if TYPE_CHECKING:
    from caption_flow.dataset.parts import PartFolder

ASK_SECONDS = 0.01  # between two tries for a lock
# What a disk says that cannot lock a folder.
_UNABLE = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Snapshot(Struct, frozen=True):
    """The parts of a folder as they were listed; all their rows, each once."""

    folder: "PartFolder"
    names: tuple[str, ...]  # oldest first

    def open(self, name: str) -> IO[bytes]:
        """Open a part, whether it was merged since or not."""
        return self.folder.opened(name)

    def path(self, name: str) -> Path:
        """Say where a part stands now; who finds it gone from there asks once more."""
        file = self.folder.file(name)
        return file if file.exists() else self.folder.retired(name)


@contextmanager
def snapshot(folder: "PartFolder") -> Iterator[Snapshot]:
    """List the finished parts; inside the context each of them can be opened.

    A folder that is not there has none. Takes the shared lock of the folder, which only deleting
    what was merged waits for.
    """
    with shared(folder.path):
        yield Snapshot(folder, tuple(folder.published()))


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Keep what was merged from being deleted in a folder, as far as its disk can lock."""
    descriptor = None
    with on_disk(path), suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        flock(descriptor, fcntl.LOCK_SH)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@asynccontextmanager
async def shared_async(path: Path) -> AsyncIterator[None]:
    """The same for who must not stand still while files are deleted, as in an event loop."""
    with ExitStack() as held:
        # Asked again and again: a thread that waits for a lock cannot be cancelled.
        while not _share(path, held):  # noqa: ASYNC110 - no event tells that a lock is free
            await asyncio.sleep(ASK_SECONDS)
        yield


def _share(path: Path, held: ExitStack) -> bool:
    """Take the shared lock of a folder, if it has one; False where it is to be waited for."""
    with on_disk(path), suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with ExitStack() as failed:
            failed.callback(os.close, descriptor)
            try:
                flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            held.push(failed.pop_all())
    return True


def flock(descriptor: int, how: int) -> bool:
    """Lock an open folder; False where its disk cannot lock folders."""
    try:
        fcntl.flock(descriptor, how)
    except OSError as exc:
        if exc.errno not in _UNABLE:
            raise
        return False
    return True
