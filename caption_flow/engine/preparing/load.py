"""Engine: what was asked of those who prepare images, and whether the engine lacked it meanwhile.

In sums over time, so that nothing between two looks is missed.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from msgspec import Struct

Where: TypeAlias = Literal["asked", "at work", "answered"]


class Seen(Struct, frozen=True):
    """How it was since the last look: means over that time."""

    seconds: float  # since the last look
    filled: float = 0.0  # share of the engine's slots that worked on a request
    starved: float = 0.0  # share of them that were free while as many images waited for a process
    full: float = 0.0  # share of the time in which all processes were at work
    delayed: float = 0.0  # share of their time at work in which they waited for a core


class Load:
    """Of one engine of so many slots."""

    def __init__(self, slots: int) -> None:
        self.count = 1  # processes there may be
        self._slots = slots
        self._now: Counter[Where] = Counter()
        self._sums: defaultdict[str, float] = defaultdict(float)  # of seconds, weighed as in Seen
        self._since = self._last = time.monotonic()

    @contextmanager
    def one(self, where: Where) -> Iterator[None]:
        """Count one more request there while the context lasts.

        Asked: until it is prepared. At work: those of them that have a process. Answered: the
        engine has it, prepared or with nothing to prepare.
        """
        self._tick()
        self._now[where] += 1
        try:
            yield
        finally:
            self._tick()
            self._now[where] -= 1

    def look(self, delay: float = 0.0) -> Seen:
        """Say how it was since the last look, in which processes waited so long for a core."""
        self._tick()
        passed = max(self._last - self._since, 1e-9)
        sums, self._sums, self._since = self._sums, defaultdict(float), self._last
        return Seen(
            seconds=passed,
            filled=sums["filled"] / passed,
            starved=sums["starved"] / passed,
            full=sums["full"] / passed,
            delayed=min(1.0, delay / sums["work"]) if sums["work"] else 0.0,
        )

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._last = now - self._last, now
        working = self._now["at work"]
        filled = min(self._now["answered"], self._slots)
        starved = min(self._now["asked"] - working, self._slots - filled)
        self._sums["filled"] += passed * filled / self._slots
        self._sums["starved"] += passed * starved / self._slots
        self._sums["full"] += passed * (working >= self.count)
        self._sums["work"] += passed * working
