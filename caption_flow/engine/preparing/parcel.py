"""Engine: what two processes hand each other, in memory that both see.

A parcel is one nameless file in memory whose descriptor goes through a socket. It has no name that
could be left behind: its memory is free as soon as nobody maps it, however they end.
"""

import errno
import mmap
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

ALIGNED = 64  # bytes; where each frame begins, as tensors want it
MOST_FRAMES = 4096
_LENGTH = struct.Struct("<Q")


class NoRoom(Exception):
    """This process has no descriptor or no memory left for a parcel; the other side is well."""


def send(way: socket.socket, frames: Sequence[Any]) -> None:
    """Hand frames over: anything that shows its bytes. NoRoom when there was nothing to send."""
    views = [memoryview(frame).cast("B") for frame in frames]
    lengths = b"".join(_LENGTH.pack(len(view)) for view in views)
    descriptor = _filled(views)
    try:
        socket.send_fds(way, [lengths], [descriptor])
    finally:
        os.close(descriptor)


def receive(way: socket.socket) -> list[memoryview]:
    """Take frames; EOFError when the other side has ended. Their memory lives as they do.

    NoRoom where they have come, and cannot be looked at.
    """
    try:
        lengths, descriptors, _, _ = socket.recv_fds(way, MOST_FRAMES * _LENGTH.size, 1)
    except ConnectionResetError as exc:
        raise EOFError from exc
    if not descriptors:
        if lengths:  # it was sent, and we may not have another one
            raise NoRoom(_words(os.strerror(errno.EMFILE)))
        raise EOFError
    [descriptor] = descriptors
    try:
        with _room_for():
            whole = memoryview(mmap.mmap(descriptor, 0))
    finally:
        os.close(descriptor)
    frames, place = [], 0
    for (length,) in _LENGTH.iter_unpack(lengths):
        frames.append(whole[place : place + length])
        place += _room(length)
    return frames


def _filled(views: Sequence[memoryview]) -> int:
    """Make a file of frames; answers its descriptor."""
    with _room_for():
        descriptor = os.memfd_create("caption-flow", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, max(1, sum(map(_room, map(len, views)))))
            place = 0
            for view in views:
                _write(descriptor, view, place)
                place += _room(len(view))
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


@contextmanager
def _room_for() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise NoRoom(_words(exc.strerror or str(exc))) from exc


def _words(why: str) -> str:
    return f"This host has no room for an image to be prepared by another process: {why}."


def _room(length: int) -> int:
    return -(-length // ALIGNED) * ALIGNED


def _write(descriptor: int, view: memoryview, place: int) -> None:
    while view:  # one call writes 2 GB at most
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written
