"""Chaos, the cast: roles as processes, each started again as soon as it ends."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.chaos.mischief import ROLES, Deed
from tests.e2e.desk import environment
from tests.warm.start import start_cold, start_warm

# Started from a new Python each time, as all are where users run them: it takes much of our CPU.
COLD = {"sink-1"}
GOODBYE = 60.0  # seconds that a process may take to end when asked
_ENDED_WELL = {0, -signal.SIGTERM}  # asked before it listened, it ends by the signal itself


class Actor:
    """One role, played by one process after another."""

    def __init__(self, role: str, name: str, words: Sequence[str], folder: Path) -> None:
        self.role = role
        self.name = name
        self.log = folder / f"{name}.log"
        self.falls: list[str] = []  # how it ended when nobody had asked it to
        self.starts = 0
        self._words = words
        self._folder = folder
        self._resumes_at: float | None = None
        self._asked_at: float | None = None
        self.start()

    def start(self) -> None:
        start = start_cold if self.name in COLD else start_warm
        self._process = start(
            self._words,
            folder=self._folder,
            environ=environment(self._folder),
            out=self.log,
            err=self.log,
        )
        self.starts += 1
        self._resumes_at = self._asked_at = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_on(self) -> bool:
        """Whether it runs, if perhaps paused."""
        return self._process.poll() is None

    @property
    def is_done(self) -> bool:
        """Whether it has ended since there was no more to do, as only a feeder may."""
        return self.role == "feed" and self._process.poll() == 0 and self._asked_at is None

    def kill(self) -> None:
        """Let it die without a word, and begin again."""
        self._process.kill()
        self._process.wait(GOODBYE)
        self.start()

    def pause(self, seconds: float) -> None:
        """Let it stand still; `tend` lets it go on."""
        self._process.send_signal(signal.SIGSTOP)
        self._resumes_at = time.monotonic() + seconds

    def stop(self) -> None:
        """Ask it to end, once; `tend` lets it begin again."""
        if self._asked_at is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._asked_at = time.monotonic()

    def tend(self) -> None:
        """Do what a supervisor does: whoever ended begins again, unless it is done."""
        now = time.monotonic()
        if self._resumes_at is not None and now >= self._resumes_at:
            self.resume()
        if not self.is_on and not self.is_done:
            self._note_fall()
            self.start()
        elif self._asked_at is not None and now > self._asked_at + GOODBYE:
            self.falls.append(f"{self.name} did not end in {GOODBYE:.0f} s. {self.last_line}")
            self.kill()

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._resumes_at = None

    def wait(self) -> None:
        """Wait for its end, which it was asked for."""
        try:
            self._process.wait(GOODBYE)
        except subprocess.TimeoutExpired:
            self.falls.append(f"{self.name} did not end in {GOODBYE:.0f} s. {self.last_line}")
        self._note_fall()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(GOODBYE)

    @property
    def last_line(self) -> str:
        return "".join(self.last_lines(1))

    def last_lines(self, count: int) -> list[str]:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 200 * count))
            return log.read().decode(errors="replace").splitlines()[-count:]

    def _note_fall(self) -> None:
        code = self._process.poll()
        if self._asked_at is None or code not in _ENDED_WELL:
            self.falls.append(f"{self.name} ended with {code}. {self.last_line}")


class Cast:
    """All actors of a run."""

    def __init__(
        self,
        counts: Mapping[str, int],
        words: Callable[[str, int], Sequence[str]],
        folder: Path,
    ) -> None:
        """`words`: the command of a role's n-th."""
        folder.mkdir(parents=True)
        self.actors = [
            Actor(role, f"{role}-{number}", words(role, number), folder)
            for role, count in counts.items()
            for number in range(count)
        ]
        self.done: Counter[tuple[str, str]] = Counter()  # deeds and those who suffered them

    def victim(self, deed: Deed) -> Actor:
        """Name the n-th of those who are on; another role's where this one is done."""
        roles = (deed.whom, *ROLES)
        victims = next(v for v in map(self._on, roles) if v)
        return victims[deed.nth % len(victims)]

    def suffer(self, deed: Deed, victim: Actor) -> None:
        """Do it."""
        match deed.what:
            case "kill":
                victim.kill()
            case "pause":
                victim.pause(deed.seconds)
            case "stop":
                victim.stop()
        self.done[deed.what, victim.role] += 1

    def _on(self, role: str) -> list[Actor]:
        return [actor for actor in self.actors if actor.role == role and actor.is_on]

    def tend(self, *, is_fed: bool) -> None:
        """Start again who ended, and feeders that were done and have more to do."""
        for actor in self.actors:
            if not actor.is_done:
                actor.tend()
            elif not is_fed:
                actor.start()

    @property
    def feeders_are_done(self) -> bool:
        return all(actor.is_done for actor in self.actors if actor.role == "feed")

    def leave(self) -> None:
        """Ask all to end, and wait for it."""
        on = [actor for actor in self.actors if actor.is_on]
        for actor in on:
            actor.resume()
            actor.stop()
        for actor in on:
            actor.wait()

    @property
    def falls(self) -> list[str]:
        return [fall for actor in self.actors for fall in actor.falls]

    def close(self) -> None:
        for actor in self.actors:
            actor.close()
