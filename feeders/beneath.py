"""Opening files and folders beneath a root, and nowhere else.

Paths come from a queue that strangers may write to, and the tree may change while it is read. So
every component is opened from the folder before it and never through a link: there is no moment
between check and use. Links are followed, where that is wanted, by resolving them first.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

from caption_flow.errors import SourceError
from caption_flow.retry import Backoff

T = TypeVar("T")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe would wait for a writer, for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_WORDS = {
    errno.ENOENT: "it is not there any more",
    errno.ENOTDIR: "a part of its path is no folder, or a link that is not followed",
    errno.ELOOP: "it is a link that is not followed",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENXIO: "it is not a regular file",
}
# Not about one file: the host or the mount is in trouble, and every sample would fail alike.
_HOST_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN}
# What a mount says while its server is away for a moment; or a disk, of one file, for good.
_HICCUPS = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
TRIES = 6  # the last of them after three to six seconds
BACKOFF = Backoff(first=0.3, ceiling=2.0)  # between them

Parts = tuple[str, ...]


class UnreadableError(Exception):
    """One file or folder cannot be had; the message says why."""

    def __init__(self, why: str, *, vanished: bool = False) -> None:
        super().__init__(why)
        self.vanished = vanished


class Tree:
    """A folder and all beneath it."""

    def __init__(self, root: Path, *, follow: bool) -> None:
        self._given = root
        self._real = os.path.realpath(root)
        self._follow = follow
        os.close(self._open_root())  # say at once that it cannot be read

    def open_folder(self, parts: Parts) -> int:
        """Open a folder by its parts; the caller closes it."""
        try:
            return _patiently(lambda: self._walk(parts))
        except OSError as exc:
            raise self._told(exc) from exc

    def read(self, folder: int, parts: Parts, name: str, limit: int) -> bytes:
        """Read a file of a folder that is open, known to lie at these parts."""
        try:
            return _read_file(folder, name, limit)
        except OSError as exc:
            followed = exc.errno == errno.ELOOP and self._follow
            if not followed and exc.errno not in _HICCUPS:
                raise unreadable(exc) from exc
        return self._read_anew((*parts, name), limit)

    def open_file(self, parts: Parts) -> int:
        """Open a file by its parts, to be read and sought in; the caller closes it."""
        try:
            return _patiently(lambda: self._open_target(parts))
        except OSError as exc:
            raise self._told(exc) from exc

    def resolve(self, parts: Parts) -> Parts:
        """Follow all links on the way; a target outside of the root is refused."""
        real = os.path.realpath("/".join((self._real, *parts)))
        if real == self._real:
            return ()
        inside = self._real.rstrip("/") + "/"
        if not real.startswith(inside):
            raise UnreadableError("it is a link that leads out of the data set")
        return tuple(real.removeprefix(inside).split("/"))

    def _read_anew(self, parts: Parts, limit: int) -> bytes:
        """Read a file from the root on: a link leads elsewhere, and an open folder may be stale."""
        try:
            return _patiently(lambda: self._read_target(parts, limit))
        except OSError as exc:
            raise self._told(exc) from exc

    def _read_target(self, parts: Parts, limit: int) -> bytes:
        fd = self._open_target(parts)
        try:
            return _read_all(fd, limit)
        finally:
            os.close(fd)

    def _open_target(self, parts: Parts) -> int:
        target = self.resolve(parts) if self._follow else parts
        if not target:
            raise UnreadableError("it is not a regular file")
        folder = self._walk(target[:-1])
        try:
            return _open_file(folder, target[-1])
        finally:
            os.close(folder)

    def _walk(self, parts: Parts) -> int:
        fd = self._open_root()
        for part in self.resolve(parts) if self._follow else parts:
            try:
                deeper = os.open(part, _FOLDER, dir_fd=fd)
            finally:
                os.close(fd)
            fd = deeper
        return fd

    def _told(self, exc: OSError) -> UnreadableError:
        """Put what did not pass in words: the path's, unless all of the mount is in trouble."""
        if exc.errno in _HICCUPS:
            try:
                os.statvfs(self._real)  # the server of a mount answers this, never a cache
            except OSError as mount:
                raise _host_trouble(mount) from exc
        return unreadable(exc)

    def _open_root(self) -> int:
        try:
            return _patiently(lambda: os.open(self._real, _FOLDER))
        except OSError as exc:
            raise SourceError(_root_trouble(self._given, exc)) from exc


def unreadable(exc: OSError) -> UnreadableError:
    """Put an error about one path in words; trouble of the whole host is raised instead."""
    if exc.errno in _HOST_TROUBLE:
        raise _host_trouble(exc) from exc
    why = _WORDS.get(exc.errno or 0) or f"it cannot be read: {exc.strerror or exc}"
    return UnreadableError(why, vanished=exc.errno == errno.ENOENT)


def _host_trouble(exc: OSError) -> SourceError:
    return SourceError(
        f"Reading fails on this host: {exc.strerror}. Mend that and start again; no sample is lost."
    )


def _patiently(act: Callable[[], T]) -> T:
    """Repeat what a hiccup of a mount stops, with growing pauses, for some seconds."""
    for delay in islice(BACKOFF.delays(), TRIES - 1):
        try:
            return act()
        except OSError as exc:
            if exc.errno not in _HICCUPS:
                raise
        time.sleep(delay)
    return act()


def _open_file(folder: int, name: str) -> int:
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        os.close(fd)
        raise
    if not regular:
        os.close(fd)
        raise UnreadableError("it is not a regular file")
    return fd


def _read_file(folder: int, name: str, limit: int) -> bytes:
    fd = _open_file(folder, name)
    try:
        return _read_all(fd, limit)
    finally:
        os.close(fd)


def _read_all(fd: int, limit: int) -> bytes:
    facts = os.fstat(fd)
    if facts.st_size > limit:
        raise UnreadableError(f"it has {facts.st_size:,} bytes; the limit is {limit:,}")
    data = os.read(fd, facts.st_size)
    return data if len(data) == facts.st_size else _read_on(fd, data, facts.st_size)


def _read_on(fd: int, data: bytes, size: int) -> bytes:
    """Read the rest where one read did not give all: a very large file, or one that shrank."""
    parts = [data]
    missing = size - len(data)
    while missing > 0 and (more := os.read(fd, missing)):
        parts.append(more)
        missing -= len(more)
    return b"".join(parts)


def _root_trouble(root: Path, exc: OSError) -> str:
    why = {
        errno.ENOENT: "does not exist",
        errno.ENOTDIR: "is not a folder",
        errno.EACCES: "may not be read by this user",
    }.get(exc.errno or 0, f"cannot be opened ({exc.strerror})")
    return f"The data set folder {root} {why}. Check the path of the source, and its permissions."
