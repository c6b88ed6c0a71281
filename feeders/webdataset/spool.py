"""A remote tar that was streamed to be planned, kept for who reads its samples on this host.

Whoever plans mostly feeds too, and would fetch the same bytes a second time. What is kept is
bounded, the oldest goes first, and a disk without room costs time and nothing else.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from caption_flow.errors import SourceError
from caption_flow.model import Reference
from feeders.beneath import Tree
from feeders.files.local import LocalFile
from feeders.files.port import Facts, File

logger = logging.getLogger(__name__)

MOST = 8 << 30  # bytes of all that are kept
_ROOM = 2  # times its size must be free on the disk that a tar is written to


class Spool:
    """A folder of tars, by the names of their indexes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keeping(self, name: str, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on a tar that comes in pieces; once its end has come it is kept."""
        temporary = self._begin(size)
        if temporary is None:
            yield from pieces
            return
        try:
            yield from _written(temporary, pieces)
            with suppress(OSError):
                if temporary.stat().st_size == size:
                    temporary.replace(self._folder / name)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def find(self, name: str, file: File, size: int) -> File:
        """Give the kept tar in the stead of a remote one, if there is one."""
        try:
            kept = LocalFile(file.name, file.where, Tree(self._folder, follow=False), (name,))
            return _Kept(file, kept) if kept.facts().size == size else file
        except SourceError:
            return file

    def _begin(self, size: int) -> Path | None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size)
            if size > MOST or shutil.disk_usage(self._folder).free < _ROOM * size:
                return None
            with NamedTemporaryFile(dir=self._folder, prefix="part-", delete=False) as made:
                return Path(made.name)
        except OSError as exc:
            logger.debug("Keeping no tar in %s: %s", self._folder, exc)
            return None

    def _make_room(self, size: int) -> None:
        kept = [(path, path.stat()) for path in self._folder.iterdir()]
        held = sum(facts.st_size for _, facts in kept)
        for path, facts in sorted(kept, key=lambda pair: pair[1].st_mtime):
            if held + size <= MOST:
                return
            path.unlink(missing_ok=True)  # who reads it has it open
            held -= facts.st_size


class _Kept:
    """A remote file whose bytes are here."""

    def __init__(self, file: File, kept: LocalFile) -> None:
        self.name = file.name
        self.where = file.where
        self._file = file
        self._kept = kept

    def facts(self) -> Facts:
        """Ask its keeper."""
        return self._file.facts()

    def read(self, start: int, length: int) -> bytes:
        """Read here."""
        return self._kept.read(start, length)

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Read here."""
        return self._kept.stream(start, end)

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        """Refer to where it came from."""
        return self._file.reference(start, length)


def _written(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass on what is written, and what cannot be written as well."""
    with path.open("wb", buffering=0) as file:
        writing = True
        for piece in pieces:
            if writing:
                writing = _write(file.fileno(), piece)
            yield piece
        with suppress(OSError):
            os.fsync(file.fileno())


def _write(fd: int, piece: bytes) -> bool:
    try:
        return os.write(fd, piece) == len(piece)
    except OSError:
        return False
