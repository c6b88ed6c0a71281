"""Data set, its border to the disk: errors of the operating system become ours.

Around whatever touches the folder of the parts stands `on_disk()`. Almost all that a disk refuses
can be mended while we wait; only what is wrong from the start is a mistake of configuration.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caption_flow.errors import CaptionFlowError, StorageBlocked, StorageUnfit

_SAID = {
    errno.ENOSPC: "No space left in {folder}. Free some",
    errno.EDQUOT: "The quota for {folder} is used up. Free some space or raise it",
    errno.EROFS: "{folder} is on a disk that is read-only. Mount it for writing",
    errno.EACCES: "{folder} is closed to this user. Let it read and write there",
    errno.EPERM: "{folder} is closed to this user. Let it read and write there",
    errno.EIO: "The disk of {folder} does not work as it should. See to it",
    errno.ENOTDIR: "{folder} is in the place of a file. Move that away",
    errno.EEXIST: "{folder} is a file. Move it away",
    errno.EFBIG: "{folder} takes no file as large as a part. Lower storage.rows_per_part",
}
_GONE = "{folder} is gone. Bring it back with its parts"
_FILE_GONE = "A file of ours in {folder} is gone. Leave the hidden ones to the sinks"
_OTHER = "{folder} cannot be used ({error}). Mend that"

_NEVER = frozenset({errno.EFBIG})  # no wait helps
# What somebody may mend while we wait, but who starts would rather be told of.
_MISTAKES = frozenset(
    {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
)


@contextmanager
def on_disk(folder: Path, *, first: bool = False) -> Iterator[None]:
    """Stand around what touches the folder of the parts; `first`: before anything is at stake."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:  # of Arrow, on what is in a file
            raise
        raise _ours(exc, folder, first=first) from exc


def _ours(error: OSError, folder: Path, *, first: bool) -> CaptionFlowError:
    said = _sentence(error, folder).format(folder=folder, error=error.strerror or error)
    if error.errno in _NEVER or (first and error.errno in _MISTAKES):
        return StorageUnfit(f"{said}, or set storage.data_dir to another folder.")
    return StorageBlocked(f"{said}; nothing is lost.")


def _sentence(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOENT, errno.ESTALE}:
        return _FILE_GONE if os.path.exists(folder) else _GONE  # noqa: PTH110 - never raises
    return _SAID.get(error.errno or 0, _OTHER)
