"""Queue: what a monitor asks, as a protocol, and what it sees."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from caption_flow.model import Counts, DeadLetter
from caption_flow.queue.ports.contributors import Standing
from caption_flow.queue.ports.job import Member


class Snapshot(Struct, frozen=True):
    """The job at a glance, read without scanning anything that grows with it."""

    counts: Counts
    members: tuple[Member, ...]
    waiting: Mapping[str, int]  # entries of each stream that nobody holds
    held: Mapping[str, int]  # entries of each stream under a lease
    settings_version: int = 0  # of those that are published; 0: none are
    leaderboard: tuple[Standing, ...] = ()
    paused: bool = False  # by an operator


class Inspector(Protocol):
    """What a monitor asks; it only reads."""

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        ...

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        ...

    async def columns(self, count: int) -> list[str] | None:
        """Name the columns of so many samples that are in a stage; None where none is."""
        ...
