"""A terminal, as far as a program sees one: what it wrote there, and what was left to be seen."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from threading import Thread

from msgspec import Struct

from tests.e2e.desk import PATIENCE, environment

ERASED = "\x1b[2K"  # what takes a line off a terminal


class Shown(Struct, frozen=True):
    """What a command wrote."""

    code: int
    out: str
    terminal: str  # of standard error, with all that moves the cursor

    @property
    def last(self) -> str:
        """What was written since a line was erased last."""
        return self.terminal.rpartition(ERASED)[2]


def on_terminal(folder: Path, *words: object) -> Shown:
    """Run `caption-flow WORDS` with its standard error on a terminal."""
    return program_on_terminal(folder, "-m", "caption_flow", *words)


def program_on_terminal(folder: Path, *words: object) -> Shown:
    """Run Python likewise."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=environment(folder) | {"TERM": "xterm-256color", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    written: list[bytes] = []
    reading = Thread(target=_read, args=(ours, written), daemon=True)
    reading.start()
    out, _ = process.communicate(timeout=PATIENCE)
    reading.join(PATIENCE)
    os.close(ours)
    return Shown(process.returncode, out.decode(), b"".join(written).decode(errors="replace"))


def _read(terminal: int, written: list[bytes]) -> None:
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # so Linux says that nobody writes any more
            return
        if not data:
            return
        written.append(data)
