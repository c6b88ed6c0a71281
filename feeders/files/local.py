"""Files on this host, or on a mounted one: named one by one, in folders, or by globs.

What the path of the configuration names is opened, links and all; what a folder holds, or a name
from the queue leads to, is opened beneath what was named and nowhere else.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby, islice
from pathlib import Path

from msgspec import Struct

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import SourceError
from caption_flow.model import Reference
from feeders.beneath import Parts, Tree, UnreadableError, unreadable
from feeders.files import globs
from feeders.files.port import Facts, File, FileGone, FileUnreadable, order
from feeders.files.walk import Walk, raw
from feeders.spelling import to_text

_PIECE = 1 << 20  # bytes read at a time


class LocalFiles:
    """Files of this host, by their paths relative to the folder that holds them all."""

    def __init__(
        self, options: SourceOptions, suffixes: tuple[str, ...], paths: Sequence[str]
    ) -> None:
        terms = [_term(path, suffixes, recursive=options.recursive) for path in paths]
        self._root = Path(os.path.commonpath({term.folder for term in terms}))
        self._where = to_text(os.fspath(self._root)).rstrip("/")
        self._files = sorted({self._name(term) for term in terms if term.file}, key=order)
        self._walks = [self._rooted(term, suffixes, options) for term in terms if not term.file]
        self.dataset = _dataset(self._files, self._walks, self._root)
        if len(terms) == 1 and self._files:
            self.get(self._files[0]).facts()  # say at once that it cannot be read

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give the files in order, from a name on."""
        first = order(start) if start else ()
        named = islice(self._files, bisect_left(self._files, first, key=order), None)
        found = merge(named, *(rooted.names(first) for rooted in self._walks), key=order)
        for name, _ in groupby(found):
            yield self.get(name)

    def get(self, name: str) -> File:
        """Open what one of the names leads to, and nothing that is not of the data set."""
        path = order(name)
        where = f"{self._where}/{name}"
        at = bisect_left(self._files, path, key=order)
        if at < len(self._files) and self._files[at] == name:
            return LocalFile(name, where, *_by_path(self._root.joinpath(*raw(path))))
        for rooted in self._walks:
            below = path[len(rooted.prefix) :]
            if path[: len(rooted.prefix)] == rooted.prefix and rooted.walk.holds(below):
                return LocalFile(name, where, rooted.walk.tree, _raw(below, where))
        raise FileGone(f"{where} is no file of this data set, or not any more.")

    def _name(self, term: "_Term") -> str:
        path = (term.folder / term.file).relative_to(self._root)
        return to_text(path.as_posix())

    def _rooted(
        self, term: "_Term", suffixes: tuple[str, ...], options: SourceOptions
    ) -> "_Rooted":
        prefix = tuple(map(to_text, term.folder.relative_to(self._root).parts))
        walk = Walk(term.folder, term.pattern, suffixes, follow=options.follow_symlinks)
        return _Rooted(prefix, walk)


class LocalFile:
    """A file of this host. It stays the one that facts() told of until that is asked again."""

    def __init__(self, name: str, where: str, tree: Tree, parts: Parts) -> None:
        self.name = name
        self.where = where
        self._tree = tree
        self._parts = parts
        self._opened: _Opened | None = None

    def facts(self) -> Facts:
        """Open the file anew and ask what it is."""
        self._opened = opened = self._open()
        found = opened.facts
        mark = f"{found.st_ino}-{found.st_ctime_ns}"
        return Facts(found.st_size, _version(found), mark)

    def read(self, start: int, length: int) -> bytes:
        """Read exactly these bytes."""
        data = self._pread(start, length)
        if len(data) == length:
            return data
        pieces = [data, *self._pieces(start + len(data), start + length)]
        if sum(map(len, pieces)) < length:
            raise ShardChanged(f"{self.where} ends before byte {start + length:,}; it was longer.")
        return b"".join(pieces)

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Read from one byte up to another, or to the end, in pieces."""
        return self._pieces(start, end)

    def reference(
        self,
        start: int | None = None,  # noqa: ARG002
        length: int | None = None,  # noqa: ARG002
    ) -> Reference | None:
        """Say that only this host reaches it."""
        return None

    def _pieces(self, start: int, end: int | None) -> Iterator[bytes]:
        while end is None or start < end:
            data = self._pread(start, _PIECE if end is None else min(_PIECE, end - start))
            if not data:
                return
            yield data
            start += len(data)

    def _pread(self, start: int, length: int) -> bytes:
        opened = self._opened or self._open()
        self._opened = opened
        try:
            data, now = opened.read(start, length)
        except OSError:
            data, now = self._read_anew(start, length)
        if _version(now) != _version(opened.facts):
            raise ShardChanged(f"{self.where} has changed while it was read.")
        return data

    def _read_anew(self, start: int, length: int) -> tuple[bytes, os.stat_result]:
        """Read from the file opened once more: a mount that came back knows the old one no more."""
        anew = self._open()
        try:
            read = anew.read(start, length)
        except OSError as exc:
            raise self._trouble(unreadable(exc)) from exc
        if self._opened and _version(anew.facts) == _version(self._opened.facts):
            self._opened = anew
        return read

    def _open(self) -> "_Opened":
        try:
            return _Opened(self._tree.open_file(self._parts))
        except UnreadableError as exc:
            raise self._trouble(exc) from exc

    def _trouble(self, exc: UnreadableError) -> SourceError:
        if exc.vanished:
            return FileGone(f"{self.where} is not there. Put it back, or leave it out.")
        return FileUnreadable(
            f"{self.where} cannot be read: {exc}. Let this user read it, or leave it out."
        )


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_size}-{facts.st_mtime_ns}"


class _Opened:
    """A descriptor, closed when the last thread has let go of it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.facts = os.fstat(fd)

    def read(self, start: int, length: int) -> tuple[bytes, os.stat_result]:
        """Read, and ask what the file is after that: it may have been written over."""
        return os.pread(self._fd, length, start), os.fstat(self._fd)

    def __del__(self) -> None:
        os.close(self._fd)


class _Term(Struct, frozen=True):
    """What one path of the configuration stands for."""

    folder: Path
    file: str = ""  # in the folder; empty: what the pattern means
    pattern: Parts = ()


class _Rooted(Struct, frozen=True):
    """A walk whose files have names below a prefix."""

    prefix: Parts
    walk: Walk

    def names(self, first: Parts) -> Iterator[str]:
        """Give the names in order, from the first on."""
        above = first[: len(self.prefix)]
        if above > self.prefix:
            return
        inner = first[len(self.prefix) :] if above == self.prefix else ()
        for path in self.walk.files(inner):
            yield "/".join((*self.prefix, *path))


def _term(path: str, suffixes: tuple[str, ...], *, recursive: bool) -> _Term:
    full = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() follows links
    magic = next((at for at, part in enumerate(full.parts) if globs.is_glob(part)), None)
    if magic is not None and not os.path.lexists(full):
        pattern = tuple(map(to_text, full.parts[magic:]))
        return _Term(Path(*full.parts[:magic]), pattern=pattern)
    # A name that says what it is need not be looked for: there may be very many.
    if not full.name.lower().endswith(suffixes) and not full.is_file():
        return _Term(full, pattern=(globs.ANY_DEPTH, "*") if recursive else ("*",))
    return _Term(full.parent, file=full.name)


def _dataset(files: Sequence[str], walks: Sequence[_Rooted], root: Path) -> str:
    if len(files) == 1 and not walks:
        return files[0].partition(".")[0] or files[0]
    return to_text(root.resolve().name) or "dataset"


def _by_path(path: Path) -> tuple[Tree, Parts]:
    """Find a file that the configuration names: where its links lead is its owner's choice."""
    real = Path(os.path.realpath(path))
    return Tree(real.parent, follow=False), (real.name,)


def _raw(path: Parts, where: str) -> Parts:
    try:
        return raw(path)
    except UnreadableError as exc:
        raise FileGone(f"{where}: {exc}.") from exc
