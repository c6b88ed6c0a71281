"""Engine: one process that prepares, from its start to its end."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caption_flow.engine.preparing.parcel import receive, send

PATIENCE = 300.0  # seconds that a start or a job may take


class Process:
    """What runs a module, and does one job after the other."""

    def __init__(self, module: str) -> None:
        self.greeted = False  # it has said its first word
        self._way, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._way.settimeout(PATIENCE)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - a module of ours
                    [sys.executable, "-m", module, str(theirs.fileno())],
                    # It needs no GPU, and must not take memory on one.
                    env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C is meant for the worker, which ends it
                )
        except OSError:
            self._way.close()
            raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def delay(self) -> float:
        """Seconds that it has waited for a core, as far as the system tells."""
        try:
            told = Path(f"/proc/{self.pid}/schedstat").read_text()
            return int(told.split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def greet(self, greeting: bytes) -> None:
        """Tell it what it must know, and wait for its first word; EOFError when it ends before."""
        self.ask([greeting])
        self.greeted = True

    def ask(self, frames: Sequence[Any]) -> list[memoryview]:
        """Wait for an answer; EOFError when it has ended, or might as well have."""
        try:
            send(self._way, frames)
            return receive(self._way)
        except (EOFError, OSError) as exc:  # among them a timeout
            self.hang_up()  # here, since only who waits may close what it waits for
            raise EOFError from exc

    def kill(self) -> None:
        """Let it end: it has nothing to lose. Who waits for it reads that it has ended."""
        self._process.kill()

    def bury(self) -> None:
        """Wait for its end."""
        self._process.wait()

    def hang_up(self) -> None:
        """Close the way to it."""
        self._way.close()
