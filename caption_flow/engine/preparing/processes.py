"""Engine: processes that prepare, and what becomes of a job that kills one.

Each is started when it is first needed. One that was killed, by its job or for its memory, is
started again and the job tried once more; a job that kills two is given up. A process that ends
before its first word was killed by no job: where none starts, the engine is as good as dead.
"""

import logging
from collections.abc import Sequence
from threading import Condition
from typing import Any

from caption_flow.engine.preparing.parcel import NoRoom
from caption_flow.engine.preparing.process import Process
from caption_flow.errors import EngineDead, EngineFailed, EngineRefused

logger = logging.getLogger(__name__)

TRIES = 2  # processes that one job may kill
STARTS = 3  # of one process, until it is given up
START_PAUSE = 1.0  # seconds between them


class Processes:
    """So many processes, each with one job at a time. Called from as many threads."""

    def __init__(self, module: str, greeting: bytes, count: int) -> None:
        """`module` is what they run; `greeting`: what each is told at its start."""
        self._module = module
        self._greeting = greeting
        self._changed = Condition()  # over all below
        self._closed = False
        self._count = count
        self._taken = 0  # by jobs, those that are being started for one among them
        self._running: set[Process] = set()
        self._idle: list[Process] = []  # the one that was busy last is the first to be so again

    @property
    def count(self) -> int:
        """How many there may be."""
        return self._count

    @property
    def pids(self) -> list[int]:
        """The numbers of those that run."""
        with self._changed:
            return [process.pid for process in self._running]

    @property
    def starting(self) -> bool:
        """Whether one of them is not ready yet."""
        with self._changed:
            return not self._all_greeted()

    @property
    def delay(self) -> float:
        """Seconds that those that run have waited for a core."""
        with self._changed:
            return sum(process.delay for process in self._running)

    def begin(self) -> None:
        """Start one of them, before the first job; EngineDead where that cannot be."""
        self._give_back(self._take())

    def ask(self, frames: Sequence[Any]) -> list[memoryview]:
        """Have a job done.

        EngineRefused when it is one that kills; EngineFailed when there is no room for it here;
        EngineDead at the end, and when no process starts.
        """
        for _ in range(TRIES):
            process = self._take()
            try:
                return process.ask(frames)
            except EOFError:
                self._lose(process)
            except NoRoom as exc:
                raise EngineFailed(str(exc)) from exc
            finally:
                self._give_back(process)
        raise EngineRefused(f"the image has ended {TRIES} processes that were to prepare it")

    def resize(self, count: int) -> None:
        """Have so many from now on; those that are too many end when they have nothing to do."""
        with self._changed:
            self._count = count
            idle = max(0, min(len(self._idle), count - self._taken))
            spare = self._idle[: len(self._idle) - idle]  # those that were idle the longest
            del self._idle[: len(spare)]
            self._running.difference_update(spare)
            self._changed.notify_all()
        _end(spare)

    def close(self) -> None:
        """End all of them, and what they are at."""
        with self._changed:
            self._closed = True
            running, self._running = self._running, set()
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for process in idle:
            process.hang_up()
        _kill(running)

    def _take(self) -> Process:
        """Wait for one that is idle, or may be started."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._taken < self._count)
                self._refuse_if_closed()
                self._taken += 1
                if self._idle:
                    return self._idle.pop()
            process = None
            try:
                if (process := self._started()) is not None:
                    return process
            finally:
                if process is None:
                    self._give_back(None)
            self._go_on_with_fewer()

    def _give_back(self, process: Process | None) -> None:
        with self._changed:
            self._taken -= 1
            kept = process in self._running
            # By those that run: who tries to start another may find that it cannot be.
            if process is not None and kept and self._able <= self._count:
                self._idle.append(process)
                process = None
            elif process is not None:
                self._running.discard(process)
            self._changed.notify_all()  # who rests between two starts listens, too
        if process is not None:
            _end([process])

    def _started(self) -> Process | None:
        """Start one; None where that fails again and again."""
        for _ in range(STARTS):
            try:
                process = self._new()
            except OSError as exc:
                logger.warning("No process to prepare images can be started: %s", exc)
                self._rest()
                continue
            try:
                process.greet(self._greeting)
            except EOFError:
                self._lose(process)
                self._rest()
            except NoRoom as exc:
                self._lose(process)
                raise EngineFailed(str(exc)) from exc
            else:
                with self._changed:
                    self._changed.notify_all()
                return process
        return None

    def _go_on_with_fewer(self) -> None:
        """Have no more than those that run; EngineDead where there are none."""
        with self._changed:
            # One that is being started for another job may be one that does run.
            self._changed.wait_for(lambda: self._closed or self._all_greeted())
            self._refuse_if_closed()
            able = self._able
            self._count = min(self._count, able) or self._count
        if not able:
            raise EngineDead(
                f"A process that prepares images ended {STARTS} times before it was ready; lines "
                'of the log before this one may say why. "preparers: 0" does without them.'
            )
        logger.warning("No more than %d processes that prepare images can be started", able)

    @property
    def _able(self) -> int:
        """How many run and are ready."""
        return sum(process.greeted for process in self._running)

    def _all_greeted(self) -> bool:
        return all(process.greeted for process in self._running)

    def _new(self) -> Process:
        with self._changed:
            self._refuse_if_closed()
            process = Process(self._module)
            self._running.add(process)
        return process

    def _lose(self, process: Process) -> None:
        with self._changed:
            self._refuse_if_closed()
            self._running.discard(process)
            self._changed.notify_all()
        _end([process])
        logger.warning("A process that prepares images (%d) has ended", process.pid)

    def _rest(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, START_PAUSE)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineDead("The engine is being stopped.")


def _end(processes: Sequence[Process]) -> None:
    """End those that nobody waits for."""
    for process in processes:
        process.hang_up()
    _kill(processes)


def _kill(processes: "Sequence[Process] | set[Process]") -> None:
    for process in processes:  # all at once: each takes a while to give its memory back
        process.kill()
    for process in processes:
        process.bury()
