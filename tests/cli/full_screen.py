"""A terminal for tests: a process on a pseudo-terminal, and what is on its screen."""

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from rich.cells import cell_len

from tests.e2e.desk import PATIENCE, environment, wait_until

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
_BEGUN = re.compile(r"\x1b(\[[0-9;?]*)?$")


class Screen:
    """What a terminal shows: of its commands, those that are sent to ours."""

    def __init__(self, columns: int, lines: int) -> None:
        self.alternate = False  # the screen that programs have to themselves
        self.cursor = True  # it is seen
        self._rest = ""
        self.resize(columns, lines)

    @property
    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self._cells)

    def resize(self, columns: int, lines: int) -> None:
        self._columns, self._lines = columns, lines
        self._clear()

    def feed(self, sent: str) -> None:
        sent = self._rest + sent
        begun = _BEGUN.search(sent)
        sent, self._rest = (sent[: begun.start()], begun.group()) if begun else (sent, "")
        at = 0
        for found in _SEQUENCE.finditer(sent):
            self._write(sent[at : found.start()])
            self._command(*found.groups())
            at = found.end()
        self._write(sent[at:])

    def _command(self, told: str, what: str) -> None:
        if what in "hl" and told == "?1049":
            self.alternate = what == "h"
            self._clear()
        elif what in "hl" and told == "?25":
            self.cursor = what == "h"
        elif what == "H":
            self._row, self._column = 0, 0
        elif what == "J":
            self._clear()
        else:
            assert what == "m", f"a terminal command that this one does not know: {told}{what}"

    def _write(self, text: str) -> None:
        for letter in text:
            if letter == "\r":
                self._column = 0
            elif letter == "\n":
                self._down()
            else:
                self._put(letter)

    def _put(self, letter: str) -> None:
        width = cell_len(letter)
        if self._column + width > self._columns:
            self._column = 0
            self._down()
        self._cells[self._row][self._column : self._column + width] = [letter] + [""] * (width - 1)
        self._column += width

    def _down(self) -> None:
        if self._row + 1 < self._lines:
            self._row += 1
        else:
            self._cells = [*self._cells[1:], [" "] * self._columns]

    def _clear(self) -> None:
        self._row = self._column = 0
        self._cells = [[" "] * self._columns for _ in range(self._lines)]


def _own_terminal() -> None:
    """Let keys such as Ctrl-C be signals: the terminal is that of the new session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _of_a_terminal(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that tell its kind, and not the size of another."""
    kept = {name: value for name, value in environ.items() if name not in {"COLUMNS", "LINES"}}
    return kept | {"TERM": "xterm-256color"}


class Terminal:
    """A context: `caption-flow ARGUMENTS` on a terminal of this size, and gone at its end."""

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        columns: int = 80,
        lines: int = 24,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.screen = Screen(columns, lines)
        self.sent = ""  # all that was ever written to it
        self._lock = threading.Lock()
        self._ours, theirs = pty.openpty()
        self._size(columns, lines)
        self.modes = termios.tcgetattr(theirs)  # at the beginning
        self._theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "caption_flow", *map(str, arguments)],
            cwd=folder,
            env=_of_a_terminal(environment(folder)) | dict(environ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509 - it takes no lock
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def text(self) -> str:
        """What is on the screen now."""
        with self._lock:
            return self.screen.text

    @property
    def restored(self) -> bool:
        """Whether all is as it was before."""
        same = termios.tcgetattr(self._theirs) == self.modes
        return same and self.screen.cursor and not self.screen.alternate

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        with self._lock:
            self.screen.resize(columns, lines)
        self._size(columns, lines)  # of which the kernel tells the process

    def shows(self, *words: str) -> str:
        """Wait until all of these are on the screen; answers it."""
        try:
            wait_until(lambda: self._is_up(words), "words on a screen")
        except AssertionError as exc:
            raise AssertionError(f"{words} are not all on\n{self.text}") from exc
        return self.text

    def ended(self) -> int:
        """Wait for the end of the process; answers its exit code."""
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        os.close(self._theirs)
        self._reading.join(PATIENCE)
        os.close(self._ours)

    def _is_up(self, words: tuple[str, ...]) -> bool:
        text = self.text
        assert self.process.poll() is None, f"it has ended:\n{text}"
        return all(word in text for word in words)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                sent = os.read(self._ours, 1 << 16)
            except OSError:  # the other end is closed
                return
            with self._lock:
                text = decoder.decode(sent)
                self.sent += text
                self.screen.feed(text)
