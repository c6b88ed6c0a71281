"""Data set: hidden files that become parts, each locked while its writer lives."""

import fcntl
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from caption_flow.dataset.locks import is_at
from caption_flow.dataset.merged import is_merged, merged_name


def new_name() -> str:
    """Name a part that is begun now."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"part-{stamp}-{secrets.token_hex(4)}"


def begin(place: Callable[[str], Path], name: str) -> tuple[str, IO[bytes]]:
    """Create a temporary file and lock it, until it is closed: how others know that we live.

    `place` says where the file of a name stands. Answers the name too: another one, where a sink
    took the first for abandoned before we had the lock. A part of that name would not be recorded
    any more.
    """
    while True:
        path = place(name)
        file = path.open("w+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            file.close()
            raise
        if is_at(file, path):
            return name, file
        file.close()
        name = merged_name(name) if is_merged(name) else new_name()
