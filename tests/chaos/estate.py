"""Chaos, what workers held as they died: others must have it, and be told that it is not new."""

import time

from msgspec import Struct

from tests.chaos.mischief import REDIS, Deed
from tests.e2e.jobs import Job

IN_PARTS = 12.0  # seconds until all that a dead worker held is in parts: lease, caption, part
_HARMLESS = {"cut", "migrate"}  # to Redis: it forgets no delivery


class Left(Struct):
    """What one worker left."""

    died: float  # on the monotonic clock
    samples: int
    forgotten: bool = False  # Redis may have forgotten whose they were, before they were in parts


class Estate:
    """What all workers on Redis left that were killed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.left: list[Left] = []

    def held_by(self, pid: int) -> int:
        """Count the samples in the hands of a worker."""
        members = self._job.members().items()  # by "ROLE:NAME"
        names = tuple(f"{who.partition(':')[2]}." for who, word in members if word["pid"] == pid)
        pending = self._job.pending("samples:caption")  # by "NAME.NUMBER", of each engine
        return sum(held for consumer, held in pending.items() if consumer.startswith(names))

    def note(self, pid: int) -> None:
        """Count what a worker leaves that is about to die."""
        self.left.append(Left(time.monotonic(), self.held_by(pid)))

    def suffer(self, deed: Deed) -> None:
        """Note what Redis may forget of it."""
        if deed.whom == REDIS and deed.what not in _HARMLESS:
            since = time.monotonic() - IN_PARTS
            for left in self.left:
                left.forgotten = left.forgotten or left.died > since

    @property
    def samples(self) -> int:
        """All of it."""
        return sum(left.samples for left in self.left)

    @property
    def idle(self) -> int:
        """How many of the dead left nothing."""
        return sum(not left.samples for left in self.left)

    @property
    def due(self) -> int:
        """What must have been delivered again, and stand in parts as such."""
        return sum(left.samples for left in self.left if not left.forgotten)
