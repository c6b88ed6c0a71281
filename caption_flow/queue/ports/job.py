"""Queue: what each process says to its job and hears from it. RedisJob implements it."""

import hashlib
from typing import Protocol

from msgspec import Struct, field

# A figure of a member whose clock is off: the seconds by which it is before that of the server.
CLOCK_AHEAD = "clock_ahead"


class Settings(Struct, frozen=True):
    """What is broadcast to the workers."""

    version: int  # of later settings higher
    document: bytes  # JSON
    by: str = ""  # who published it, as in "reload_config on host-a"

    @property
    def mark(self) -> str:
        """Tell them from others; from those of the same version too, as there are after a flush."""
        return f"{self.version} {hashlib.sha1(self.document, usedforsecurity=False).hexdigest()}"


class Member(Struct, frozen=True):
    """The last word of a live process."""

    role: str
    name: str
    host: str
    pid: int
    started: float  # seconds since the epoch; of who is listed, by the clock of the server
    seen: float
    state: str  # "starting", "working", "paused", "idle", "reloading" or "draining"; ": " and why
    figures: dict[str, float] = field(default_factory=dict)  # what the role counts
    facts: dict[str, str] = field(default_factory=dict)  # what there is to know of it, in words


class Order(Struct, frozen=True):
    """Who has given an order, and when."""

    by: str  # as in "ann on host-a"
    at: float  # seconds since the epoch


class Orders(Struct, frozen=True):
    """What operators want of one process now."""

    paused: bool = False  # take on nothing new
    drain: bool = False  # end cleanly, as at SIGTERM


class StandingOrders(Struct, frozen=True):
    """What operators want of all processes of a job; equal until that changes."""

    paused: Order | None = None
    drained: dict[str, Order] = field(default_factory=dict)  # by name of the member

    def of(self, member: str) -> Orders:
        """Take out those of one process."""
        return Orders(paused=self.paused is not None, drain=member in self.drained)


class Commanded(Protocol):
    """What a process asks that does as operators want."""

    async def orders(self, member: str) -> Orders:
        """Read what operators want of the process of this name."""
        ...


class Membership(Protocol):
    """How a process says that it lives."""

    async def beat(self, member: Member) -> None:
        """Leave a last word."""
        ...

    async def leave(self, member: Member) -> None:
        """Say goodbye: the process ends cleanly."""
        ...
