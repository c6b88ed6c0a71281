"""A user's desk: a folder in which `caption-flow` is run, and the processes started there."""

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

from msgspec import Struct

from tests.warm.start import start_cold, start_warm

PATIENCE = 120.0  # seconds for anything that must happen, on however busy a machine

T = TypeVar("T")


class Ended(Struct, frozen=True):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def words(self) -> str:
        """All it said, for a failed assertion."""
        return f"code {self.code}\n{self.out}\n{self.err}"


class Running:
    """One `caption-flow` process."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        logs: Path,
        environ: Mapping[str, str],
        *,
        cold: bool,
    ) -> None:
        self._out, self._err = logs.with_suffix(".out"), logs.with_suffix(".err")
        self._begun = time.monotonic()
        # Python reads variables of its own as it starts.
        cold = cold or any(name.startswith("PYTHON") for name in environ)
        start = start_cold if cold else start_warm
        variables = environment(folder) | dict(environ)
        self._process = start(
            arguments, folder=folder, environ=variables, out=self._out, err=self._err
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has said on standard error so far."""
        return self._err.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> Ended:
        code = self._process.wait(patience)
        return Ended(code, self.out, self.err, time.monotonic() - self._begun)

    def terminate(self) -> Ended:
        """Ask it to end, as an operator does."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def interrupt(self) -> Ended:
        """Press Ctrl-C: a terminal tells all of the process group."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """Let it die as in an accident, without a word."""
        self._process.kill()
        self._process.wait(PATIENCE)


class Desk:
    """A folder to work in; what was started there is gone when it closes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._logs = folder / ".output"
        self._logs.mkdir(parents=True)
        self._running: list[Running] = []

    def start(
        self,
        *arguments: object,
        folder: Path | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
        cold: bool = False,
    ) -> Running:
        """Start `caption-flow ARGUMENTS`, with these variables; `cold`: from a new Python."""
        words = tuple(map(str, arguments))
        log = self._logs / f"{len(self._running)}"
        running = Running(words, folder or self.folder, log, environ, cold=cold)
        self._running.append(running)
        return running

    def run(self, *arguments: object, folder: Path | None = None, cold: bool = False) -> Ended:
        """Run `caption-flow ARGUMENTS` to its end."""
        return self.start(*arguments, folder=folder, cold=cold).wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running:
            if not running.ended:
                running.kill()


def environment(home: Path) -> dict[str, str]:
    """Variables of a user who has configured nothing."""
    ours = {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
    # Without byte code each of the many processes would compile the package anew.
    passed = re.compile(r"(?!CAPTION_FLOW_|XDG_|PYTHONDONTWRITEBYTECODE)")
    return {name: value for name, value in os.environ.items() if passed.match(name)} | ours


def settings(**values: object) -> tuple[str, ...]:
    """Flags that set these; two underscores stand for a dot."""
    return tuple(
        word
        for name, value in values.items()
        for word in ("--set", f"{name.replace('__', '.')}={value}")
    )


def wait_until(
    condition: Callable[[], T], what: str, patience: float = PATIENCE, every: float = 0.05
) -> T:
    """Wait for a condition; answers what made it true."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(every)
    return found


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"
