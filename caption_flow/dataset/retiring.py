"""Data set: the files of parts that were merged are hidden, and deleted when nobody reads them.

Who reads all parts holds the shared lock of the folder, see snapshot.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.locks import begun, sync
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import flock
from caption_flow.errors import CaptionFlowError

KEPT_SECONDS = 3600.0  # where the disk cannot tell whether somebody reads
TOGETHER = 1000  # files, while whose deletion those wait who begin to read
PAUSE_SECONDS = 0.02  # in which these begin


def retire(folder: PartFolder) -> None:
    """Hide the files of all parts that were merged."""
    unretired = sorted(folder.look().unretired)
    if not unretired:
        return
    with on_disk(folder.path):
        for part in unretired:
            with suppress(FileNotFoundError):  # another has
                folder.file(part).rename(folder.retired(part))
        sync(folder.path)


def sweep(folder: PartFolder) -> int:
    """Delete what is retired, unless somebody reads; answers how many files are kept."""
    # Those whose merged part is gone are all that is left of their rows.
    superseded = folder.look().superseded
    retired = [(part, superseded[part]) for part in folder.retired_parts() if part in superseded]
    kept = 0
    for first in range(0, len(retired), TOGETHER):
        if first:
            time.sleep(PAUSE_SECONDS)
        left = _delete(folder, retired[first : first + TOGETHER])
        if left is None:
            return kept + len(retired) - first
        kept += left
    return kept


def _delete(folder: PartFolder, retired: Sequence[tuple[str, str]]) -> int | None:
    """Delete some while nobody can begin to read, and count those kept; None: somebody reads."""
    with on_disk(folder.path):
        descriptor = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            alone = flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            deleted = [part for part, into in retired if alone or _is_old(folder, part, into)]
            for part in deleted:
                folder.retired(part).unlink(missing_ok=True)
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)
    return len(retired) - len(deleted)


def _is_old(folder: PartFolder, part: str, into: str) -> bool:
    """Whether nobody reads a part any more who listed it before it was merged into that one."""
    try:
        # Neither time is enough alone: not all disks note when a file was renamed, and a merged
        # part that was written long ago may have its name only now.
        renamed = folder.retired(part).stat().st_ctime
        written = folder.file(into).stat().st_mtime
    except FileNotFoundError:  # merged again, or deleted, by another
        return False
    return time.time() - max(renamed, written) > KEPT_SECONDS


@contextmanager
def merging_alone(folder: PartFolder) -> Iterator[None]:
    """Be the only one who merges parts of a folder; CaptionFlowError where another is at it."""
    path = folder.path / ".merging"
    with on_disk(folder.path):
        file = begun(path)
    if file is None:
        raise CaptionFlowError(
            f"Parts of {folder.path} are being merged already. Let that come to its end."
        )
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
