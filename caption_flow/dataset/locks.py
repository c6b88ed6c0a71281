"""Data set: locks on hidden files, which tell that their writer lives; and names made durable."""

import ctypes
import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO


def lock(path: Path) -> IO[bytes] | None:
    """Lock a file whose writer is gone; None while it lives, or when somebody was quicker."""
    try:
        file = _open_to_lock(path)
    except FileNotFoundError:
        return None
    with ExitStack() as unlocked:
        unlocked.enter_context(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not is_at(file, path):
            return None
        unlocked.pop_all()
    return file


def begun(path: Path) -> IO[bytes] | None:
    """Create a file where there is none, and lock it; None while another has it."""
    while True:
        with ExitStack() as unlocked:
            file = unlocked.enter_context(path.open("a+b"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if is_at(file, path):  # and not deleted by one who was done just then
                unlocked.pop_all()
                return file


def _open_to_lock(path: Path) -> IO[bytes]:
    try:
        return path.open("r+b")  # NFS locks nobody else out of what is only read
    except PermissionError:  # of another user, in a folder that we may delete it from
        return path.open("rb")


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file has this name still."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sync(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_disk(folder: str) -> None:
    """Make all that was written to the disk of a folder durable; where it can be, no other's."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Python has no name for it, and other systems than Linux do not have it.
        syncfs = getattr(ctypes.CDLL(None), "syncfs", None)
        if syncfs is None or syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)
