"""Export: the hidden folder in which an output is drafted, and how far that is.

It lies beside the output or in it, so that a finished file needs only its final name. Who is killed
leaves it, and the next export of the same rows to the same output goes on from there; one of other
rows begins anew. It is locked while somebody drafts in it.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from caption_flow.dataset.locks import sync
from caption_flow.dataset.snapshot import flock
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.export.ports import Progress

_JOURNAL = "journal.json"
_PARTS = "parts.json"
_MOVE = "Move it away, or name another --output."


class Blocked(CaptionFlowError):
    """The place of an output cannot be written to, or another export writes there."""


class _Journal(Struct, frozen=True):
    key: str  # tells what is exported, and how
    progress: Progress


class PartRead(Struct, frozen=True):
    """A part whose rows are in a draft."""

    name: str
    stamp: str


class Draft:
    """The draft of one output; a context."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder
        self._key = key
        self._lock: int | None = None
        self._made: list[Path] = []  # folders that were made for it
        self.progress: Progress | None = None  # where an earlier export got to

    def __enter__(self) -> Self:
        try:
            with writing(self.path):
                self._hold()
                self._check_ours()
                self.progress = self._read()
                if self.progress is None:
                    self._give_up()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._unlock()

    def file(self, name: str) -> Path:
        """Where a file is drafted."""
        return self.path / name

    def save(self, progress: Progress) -> None:
        """Note durably how far the export is."""
        self.progress = progress
        self._note(_JOURNAL, msgspec.json.encode(_Journal(self._key, progress)))

    def note_parts(self, parts: Sequence[PartRead]) -> None:
        """Note which parts are exported: who goes on leaves out those that came meanwhile."""
        self._note(_PARTS, msgspec.json.encode(parts))

    def parts(self) -> list[PartRead] | None:
        """Name the parts that an earlier export began with; None: nobody knows."""
        try:
            return msgspec.json.decode(self.file(_PARTS).read_bytes(), type=list[PartRead])
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def begin_anew(self) -> None:
        """Forget what an earlier export did."""
        self.progress = None
        with writing(self.path):
            self._give_up()

    def remove(self) -> None:
        """Delete the draft of an output that is complete."""
        with suppress(OSError):
            # The journal goes last: what is left by a crash in between is found finished.
            self._clear(_PARTS, _JOURNAL)
            self.path.rmdir()

    def discard(self) -> None:
        """Delete the draft of an output that is not wanted, and the folders that it made."""
        with suppress(OSError):
            self._give_up()
            self.path.rmdir()
            for folder in self._made:  # where nothing else came to be in it
                folder.rmdir()

    def _hold(self) -> None:
        """Open and lock the folder; again, where whoever had the lock has deleted it meanwhile."""
        while True:
            self._lock = self._opened()
            try:
                flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise Blocked(
                    f"Another export writes here already, as its folder {self.path} says. "
                    "Wait for it, or name another --output."
                ) from exc
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._lock), self.path.lstat()):
                    return
            self._unlock()

    def _opened(self) -> int:
        self._made = [one for one in self.path.parents if not one.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            # No link: what it leads to is not ours, and would be cleared.
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as exc:
            if exc.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise Blocked(f"{self.path} is a link. {_MOVE}") from exc
            raise

    def _check_ours(self) -> None:
        names = set(os.listdir(self.path))  # noqa: PTH208 - names are asked for
        if names and names.isdisjoint({_JOURNAL, _PARTS, f"{_PARTS}.new"}):
            raise Blocked(f"{self.path} is no draft of an export. {_MOVE}")

    def _note(self, name: str, said: bytes) -> None:
        with writing(self.path):
            new = self.path / f"{name}.new"
            with new.open("wb") as file:
                file.write(said)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self.path / name)
            sync(self.path)

    def _read(self) -> Progress | None:
        try:
            found = msgspec.json.decode((self.path / _JOURNAL).read_bytes(), type=_Journal)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return found.progress if found.key == self._key else None

    def _give_up(self) -> None:
        """Delete all that is drafted; first what says how much that is."""
        (self.path / _JOURNAL).unlink(missing_ok=True)
        sync(self.path)
        self._clear(_PARTS)

    def _clear(self, *last: str) -> None:
        """Delete all that is drafted; last, by which it is known for a draft."""
        drafted = [one for one in self.path.iterdir() if one.name not in last]
        for one in (*drafted, *(self.path / name for name in last)):
            _delete(one)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def publish(drafted: Path, final: Path) -> None:
    """Give a drafted file or folder its final name, durably; one that has it stays as it is."""
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if drafted.exists():
            if drafted.is_dir() and final.is_dir() and not final.is_symlink():
                _make_way(final, drafted)
            drafted.rename(final)
        elif not os.path.lexists(final):
            raise Blocked(
                f"{final} is gone since it was finished. "
                f"Delete {drafted.parent} and run the same command again."
            )
        sync(final.parent)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Stand around what writes an output; what the disk refuses is said in our words."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:
            raise
        where = exc.filename2 or exc.filename or place  # the second is what a name is changed to
        raise Blocked(
            f"{os.fsdecode(where)} cannot be written ({exc.strerror}). Mend that and run the same "
            "command again, which goes on from there; or name another --output."
        ) from exc


def refuse_existing(outputs: list[Path], *, overwrite: bool) -> None:
    """Refuse to write where something is already, unless it is to be overwritten."""
    there = [path for path in outputs if os.path.lexists(path)]
    if there and not overwrite:
        more = f" and {len(there) - 1:,} more" if len(there) > 1 else ""
        raise ConfigError(
            f"{there[0]}{more} is there already: --overwrite replaces it, or name another --output."
        )


def _make_way(folder: Path, drafted: Path) -> None:
    """Let a folder be replaced: moved away first, so that it is never there by half."""
    old = drafted.with_name(f"{drafted.name}.old")
    if old.exists():
        shutil.rmtree(old)
    folder.rename(old)


def _delete(one: Path) -> None:
    if one.is_dir() and not one.is_symlink():
        shutil.rmtree(one)
    else:
        one.unlink(missing_ok=True)
