"""Monitor: the workers of a job, as they are listed for people."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from caption_flow.monitor.living import SILENT
from caption_flow.monitor.speeds import Speeds
from caption_flow.queue.ports import Member, Snapshot

Order: TypeAlias = Literal["name", "rate", "free", "trouble", "seen"]
ORDERS: tuple[Order, ...] = get_args(Order)


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

    def fact(self, name: str) -> str:
        """Give a fact; "" where the worker tells none of that name."""
        return self.member.facts.get(name, "")


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
