"""Supervisor: restarts roles that die, and gives up when that does not help."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from caption_flow.errors import CaptionFlowError
from caption_flow.model import Counts
from caption_flow.retry import Backoff
from caption_flow.supervisor.child import Child, Role

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.2
# Of one role in quick succession, before it is given up. An image that kills workers is found
# sooner, and so is a second one.
MOST_RESTARTS = 12
# A role that ran for so long begins anew to be restarted; not one that leaves the job where it was,
# as workers do that reach no image.
STEADY_SECONDS = 60.0
EXIT_WRONG = 2  # a role that is wrongly configured is so again


class RoleFailed(CaptionFlowError):
    """A role cannot be kept running."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class Supervisor:
    """The children of this process."""

    def __init__(self, logs: Path, environ: Mapping[str, str]) -> None:
        self._logs = logs
        self._environ = environ
        self._children: dict[str, Child] = {}
        self._restarts: dict[str, Iterator[float]] = {}
        self._counts: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._books = Counts()  # as they stand now, and as they stood when each role was started
        self._stood: dict[str, Counts] = {}

    def start(self, role: Role) -> None:
        """Start a role, from the main thread: on Linux it ends with the thread that started it."""
        self._stood[role.name] = self._books
        self._children[role.name] = Child(role, self._logs, self._environ)

    def is_done(self, name: str) -> bool:
        """Whether a role that ends by itself has done so, well."""
        return self._is_well(self._children[name])

    def pids(self) -> set[int]:
        """Name the processes of the roles, but for those that ended well."""
        return {child.pid for child in self._children.values() if not self._is_well(child)}

    def look_after(self, books: Counts) -> None:
        """Restart what has died; RoleFailed when that is in vain."""
        self._books = books
        for name, child in self._children.items():
            code = child.code
            if code is None or self._is_well(child):
                continue
            if name not in self._due:
                self._due[name] = time.monotonic() + self._next_delay(child, code)
            if time.monotonic() >= self._due[name]:
                del self._due[name]
                self.start(child.role)

    async def end(self, names: Sequence[str], seconds: float) -> None:
        """Let roles drain for so long at most, then end them."""
        children = [self._children[name] for name in names if name in self._children]
        for child in children:
            child.ask_to_end()
        deadline = time.monotonic() + seconds
        for child in children:
            ended = await asyncio.to_thread(child.wait, deadline - time.monotonic())
            if not ended:
                logger.warning("%s does not end; killing it", child.role.name)
                child.kill()

    def kill_all(self) -> None:
        """Leave nothing behind."""
        for child in self._children.values():
            child.kill()

    @staticmethod
    def _is_well(child: Child) -> bool:
        """Whether it has ended as it should; others should not before we ask them."""
        return child.role.ends and child.code == 0

    def _next_delay(self, child: Child, code: int) -> float:
        name = child.role.name
        if child.age >= STEADY_SECONDS and self._books != self._stood[name]:
            self._counts.pop(name, None)
            self._restarts.pop(name, None)
        self._counts[name] = self._counts.get(name, 0) + 1
        if code == EXIT_WRONG or self._counts[name] > MOST_RESTARTS:
            raise RoleFailed(
                f"{name} has ended: {child.last_words()}\nIts log is {child.log}.",
                exit_code=EXIT_WRONG if code == EXIT_WRONG else 1,
            )
        how = f"by signal {-code}" if code < 0 else f"with code {code}" if code else "too early"
        logger.warning("%s has ended %s: %s", name, how, child.last_words())
        delays = self._restarts.setdefault(name, Backoff(first=0.5).delays())
        return next(delays)
