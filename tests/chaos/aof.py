"""Chaos, what a power cut takes: the end of the AOF that was written and not synced yet.

SIGKILL alone leaves nearly all of it, since the kernel has what the server wrote. The server
syncs once a second, so that its host may forget about as much.
"""

import os
import time
from collections import deque
from pathlib import Path

_KEPT = 200  # sizes remembered


class Aof:
    """The file that a server appends to, and how long it was when."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: deque[tuple[float, Path, int]] = deque(maxlen=_KEPT)

    def note(self) -> None:
        """Remember how long the file is now."""
        newest = max(self._folder.rglob("*.incr.aof"), key=_number, default=None)
        if newest is not None:
            self._sizes.append((time.monotonic(), newest, newest.stat().st_size))

    def forget(self, seconds: float) -> None:
        """Cut off what a dead server wrote in its last so many seconds, or since the rewrite."""
        since = time.monotonic() - seconds
        newest = self._sizes[-1][1]
        sizes = [size for when, file, size in self._sizes if file == newest and when <= since]
        if seconds and sizes:
            os.truncate(newest, sizes[-1])


def _number(file: Path) -> int:
    """Which it is: a rewrite begins a new one."""
    return int(file.name.split(".")[-3])
