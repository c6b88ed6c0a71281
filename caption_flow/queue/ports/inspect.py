"""Queue: what a monitor asks, as a protocol, and what it sees."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from caption_flow.model import Caption, Counts, DeadLetter
from caption_flow.queue.ports.contributors import Standing
from caption_flow.queue.ports.job import Member

STAGE = "samples:"  # and the name of a stage: its stream


class Stream(Struct, frozen=True):
    """How one stream stands."""

    name: str  # "chunks", "samples:STAGE" or "captions"
    waiting: int  # entries that nobody holds
    held: int  # under a lease
    oldest: float | None = None  # when the oldest entry came, in seconds since the epoch

    @property
    def stage(self) -> str:
        """Name the stage whose samples it has; "" where it has none."""
        return self.name.removeprefix(STAGE) if self.name.startswith(STAGE) else ""


class Moment(Struct, frozen=True, array_like=True):
    """What the books said at a time."""

    at: float  # seconds since the epoch
    completed: int
    dead: int
    output_tokens: int

    @classmethod
    def of(cls, counts: Counts, at: float) -> "Moment":
        """Write down what the books say now."""
        return cls(at, *(getattr(counts, name) for name in cls.__struct_fields__[1:]))


class Shard(Struct, frozen=True):
    """How far one shard is; in chunks and in flight is the rest of what is planned."""

    name: str
    planned: int  # samples
    captioned: int  # rows in parts
    dead: int


class Snapshot(Struct, frozen=True):
    """The job at a glance, read without scanning anything that grows with it."""

    at: float  # seconds since the epoch, by the clock of the server
    counts: Counts
    members: tuple[Member, ...] = ()
    streams: tuple[Stream, ...] = ()  # in the order in which samples pass them
    history: tuple[Moment, ...] = ()  # of the last hour, oldest first
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the newest dead letters
    settings_version: int = 0  # of those that are published; 0: none are
    leaderboard: tuple[Standing, ...] = ()  # of the first hundred
    paused: bool = False  # by an operator
    shards: tuple[Shard, ...] = ()  # some that are fed or captioned now
    unranked: int = 0  # captions in parts of contributors beyond that hundred


class Inspector(Protocol):
    """What a monitor asks; it only reads."""

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        ...

    async def captions(self, count: int) -> list[Caption]:
        """Read the newest captions that are in no part yet."""
        ...

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        ...

    async def shards(self, after: str, count: int) -> list[Shard]:
        """Read so many shards that come after one, by name; "": from the first on.

        Those that earlier versions fed are not known, nor those beyond the first 20,000.
        Fewer than asked: there are no more.
        """
        ...

    async def columns(self, count: int) -> list[str] | None:
        """Name the columns of so many samples that are in a stage; None where none is."""
        ...
