"""Monitor: the workers of a job, as they are listed for people."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from caption_flow.monitor.living import SILENT, live
from caption_flow.monitor.rates import SHORTEST, Pace
from caption_flow.monitor.speeds import Speeds
from caption_flow.queue.ports import Member, Snapshot

Order: TypeAlias = Literal["name", "rate", "free", "trouble", "seen"]
ORDERS: tuple[Order, ...] = get_args(Order)


CEILING = "ceiling"  # the figure: captions a second that `bench` measured of its engine alone
MOST_SHARE = 1.5  # beyond that a ceiling is of other images, or of fewer workers than the rate is


class Listed(Struct, frozen=True):
    """A worker as it is listed."""

    member: Member
    ago: float  # seconds since its last word
    rate: float | None  # captions a second; None where nothing tells

    @property
    def silent(self) -> bool:
        """Whether nobody counts on it any more."""
        return self.ago >= SILENT

    @property
    def state(self) -> str:
        """What it does, in a word."""
        return "silent" if self.silent else self.member.state.partition(":")[0]

    @property
    def detail(self) -> str:
        """What it says of its state beyond that word."""
        return self.member.state.partition(":")[2].strip()

    def figure(self, name: str) -> float | None:
        """Give a figure; None where the worker has none of that name."""
        return self.member.figures.get(name)

    def now(self, name: str) -> float | None:
        """Give a figure that says how things stand; None where nobody knows, as of a silent one."""
        return None if self.silent else self.figure(name)

    @property
    def share(self) -> float | None:
        """How much it makes of the ceiling of its engine; None where nobody has measured that."""
        return share_of(self.rate, self.now(CEILING))

    def fact(self, name: str) -> str:
        """Give a fact; "" where the worker tells none of that name."""
        return self.member.facts.get(name, "")


def ceiling(snapshot: Snapshot) -> float | None:
    """Add up the ceilings of the workers that are counted on; None unless all of them tell one."""
    told = [m.figures.get(CEILING, 0.0) for m in live(snapshot) if m.role == "worker"]
    # A worker far away may write anything.
    return sum(told) if told and all(0 < one < math.inf for one in told) else None


def share_of(rate: float | None, ceiling: float | None) -> float | None:
    """Say how much of a ceiling is reached; None where either is unknown, or it cannot be true."""
    if rate is None or not ceiling:
        return None
    share = rate / ceiling
    return share if 0 <= share <= MOST_SHARE else None


def reached(snapshot: Snapshot, pace: Pace) -> float | None:
    """Say how much of the ceiling of its workers a job makes; None where nothing tells."""
    if pace.seconds < SHORTEST or snapshot.counts.done:
        return None
    return share_of(pace.samples, ceiling(snapshot))


def workers(snapshot: Snapshot, speeds: Speeds) -> list[Listed]:
    """List the workers of a job by name."""
    found = [member for member in snapshot.members if member.role == "worker"]
    found.sort(key=lambda member: member.name)
    return [_listed(member, snapshot.at, speeds) for member in found]


def ordered(listed: Iterable[Listed], by: Order, *, backwards: bool = False) -> list[Listed]:
    """Put workers in order: the fastest, the freest, those in trouble, or the latest first."""
    return sorted(listed, key=_KEYS[by], reverse=backwards)


def _listed(member: Member, now: float, speeds: Speeds) -> Listed:
    ago = max(0.0, now - member.seen)
    return Listed(member, ago, 0.0 if ago >= SILENT else speeds.of(member))


# By name where the rest is equal, so that lines stay where they are from look to look.
_KEYS: dict[Order, Callable[[Listed], Any]] = {
    "name": lambda one: one.member.name,
    "rate": lambda one: (-(one.rate or 0.0), one.member.name),
    "free": lambda one: (-(one.now("free_lately") or 0.0), one.member.name),
    "trouble": lambda one: (not one.silent, not one.detail, one.member.name),
    "seen": lambda one: (-one.ago, one.member.name),
}
