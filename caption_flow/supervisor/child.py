"""Supervisor: one role as a child process."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from caption_flow.queue import leash

_ERROR = "Error: "  # how the command line begins its last words
_WARNING = re.compile(r"(?m)^.*Warning: ")  # of Python, as it exits
_ERROR_NAMED = re.compile(r"(?m)^\w+Error: .+$")
_FOREIGN_ERROR = re.compile(r"(?m)^.*\] (\w+Error: .+)$")


class Role(Struct, frozen=True):
    """A command of ours to be run as a child."""

    name: str  # of the process, and of its log
    arguments: tuple[str, ...]  # after `caption-flow`
    ends: bool = False  # by itself, once its work is done


class Child:
    """A running role. Its output goes to a log file, since engines are talkative."""

    def __init__(self, role: Role, logs: Path, environ: Mapping[str, str]) -> None:
        self.role = role
        self._started = time.monotonic()
        self.log = logs / f"{role.name}.log"
        logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "caption_flow", *role.arguments]
        if sys.platform == "linux":
            command = [sys.executable, leash.__file__, str(os.getpid()), *command]
        with self.log.open("ab") as output:
            self._begin = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - a command of ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                # The terminal's Ctrl-C must reach us alone: we end the roles in their order.
                start_new_session=True,
            )

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Let the role drain."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Wait for its end for so long at most; whether it has ended."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the role and all it has started, at once."""
        if self.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """Find what the role said of its end: its error, or else its last lines."""
        with self.log.open("rb") as log:
            text = _tail(log, self._begin).decode(errors="replace")
        if told := _told_in_json(text):
            return told
        _, error, sentence = f"\n{text}".rpartition(f"\n{_ERROR}")
        if not error:
            return "\n".join(text.splitlines()[-5:])
        # An engine's own processes say on their output what its parent calls "see above".
        root = _FOREIGN_ERROR.search(text)
        ours = _WARNING.split(sentence)[0].strip()
        return ours + (f"\nIt began with {root[1].strip()}" if root else "")


class _Line(Struct, frozen=True):
    """What counts here of a line of JSON."""

    level: str
    message: str
    exception: str = ""


_line = msgspec.json.Decoder(_Line)


def _told_in_json(text: str) -> str:
    """Find what a role that logs JSON said of its end, and what it began with; else ""."""
    lines = [line for raw in text.splitlines() if (line := _line_of(raw)) is not None]
    last = next((line for line in reversed(lines) if line.level == "critical"), None)
    if last is None:
        return ""
    named = (_ERROR_NAMED.findall(line.exception) for line in lines)
    root = next((ends[-1] for ends in named if ends), "")
    return last.message + (f"\nIt began with {root}" if root else "")


def _line_of(raw: str) -> _Line | None:
    try:
        return _line.decode(raw)
    except msgspec.DecodeError:
        return None


def _tail(log: IO[bytes], begin: int, most: int = 65_536) -> bytes:
    end = log.seek(0, os.SEEK_END)
    log.seek(max(begin, end - most))
    return log.read()
