"""Port: one file of a data set, wherever it lies.

Sources of tars and tables read through this, and need not know whether a disk or a server answers.
Everything blocks; nothing is held open that has to be closed.
"""

import io
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from caption_flow.dataset.source import ShardChanged
from caption_flow.errors import SourceError
from caption_flow.model import Reference


class FileGone(ShardChanged):
    """The file is not there (any more)."""


class FileUnreadable(SourceError):
    """This file cannot be had, now or later; others may."""


class FileUnreachable(SourceError):
    """The file cannot be had now: who keeps it does not answer, or not in time."""


class Facts(Struct, frozen=True):
    """What a file is now."""

    size: int  # bytes
    fingerprint: str  # another, where the content is another
    mark: str = ""  # tells more, and only on this host
    sure: bool = True  # else what has changed may have the same; nothing of it is to be kept


class File(Protocol):
    """A file of a data set."""

    name: str  # the shard: its path relative to the data set, with slashes
    where: str  # full path, or URL without credentials: for rows and errors

    def facts(self) -> Facts:
        """Ask anew what the file is; what is read from then on is of that one or a newer."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Read exactly these bytes; ShardChanged where the file ends before."""
        ...

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Read from one byte up to another in pieces, going on where a connection breaks."""
        ...

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        """Say where a worker reads these bytes; None: it could not, or only with a secret."""
        ...


class AsIO(io.RawIOBase):
    """A file as Python's own, to be read and sought in.

    Each read is one of the file's: put an io.BufferedReader around it where many are small.
    """

    def __init__(self, file: File, size: int | None = None) -> None:
        super().__init__()
        self._file = file
        self._size = file.facts().size if size is None else size
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"There is no byte {base + offset} in {self._file.where}.")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read on, as far as the buffer and the file go."""
        view = memoryview(buffer).cast("B")
        length = min(len(view), max(0, self._size - self._at))
        if length:
            view[:length] = self._file.read(self._at, length)
        self._at += length
        return length


def order(name: str) -> tuple[str, ...]:
    """Give what names of files sort by: their components, as a walk over folders meets them."""
    return tuple(name.split("/"))
