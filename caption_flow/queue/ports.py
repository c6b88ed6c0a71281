"""Queue: what the roles ask of it, as protocols. Redis and memory implement them.

Who claims holds a lease; who holds a lease may renew, complete, release or fail it. Methods raise
QueueUnreachable or QueueFull when the caller should wait and repeat the call: each may be
repeated, since every write is guarded.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field

from caption_flow.keeper import Renew
from caption_flow.model import (
    Caption,
    Chunk,
    ChunkLease,
    Counts,
    DeadLetter,
    EntryId,
    Failure,
    Lease,
    Offer,
    Outcomes,
)
from caption_flow.queue.contributors_port import Standing

Leased = TypeVar("Leased", Lease, ChunkLease)
Withdrawn: TypeAlias = Literal["ok", "moved", "lost"]


class Budget(Struct, frozen=True):
    """What may be in flight at once: the bound on Redis' memory."""

    bytes: int
    samples: int


class Room(Struct, frozen=True):
    """What is in flight now."""

    bytes: int
    samples: int

    def admits(self, budget: Budget, *, bytes_: int, samples: int) -> bool:
        """Would this much more stay within the budget? What is alone always does."""
        fits = self.bytes == 0 or self.bytes + bytes_ <= budget.bytes
        return fits and (self.samples == 0 or self.samples + samples <= budget.samples)


class Offered(Struct, frozen=True):
    """Answer to an offer."""

    status: Literal["ok", "full", "moved", "lost"]
    cursor: int  # where the chunk stands now
    room: Room


class Begun(Struct, frozen=True):
    """Answer to who begins to look at one sample alone."""

    status: Literal["ok", "moved", "lost"]
    cursor: int  # where the chunk stands now
    looks: int  # at its sample, this one too, none of which was over before its feeder was


class Planned(Struct, frozen=True):
    """Answer to a plan."""

    status: Literal["ok", "full", "moved"]
    position: str  # where the plan stands now


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
    started: float  # seconds since the epoch
    seen: float
    state: str  # "starting", "working", "paused", "waiting", "draining"
    figures: dict[str, float] = field(default_factory=dict)  # what the role counts


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


class Claimed(Protocol):
    """What the queue must know of a claimed sample that is settled; a Lease is one."""

    @property
    def entry(self) -> EntryId:
        """Where it stands in its stream."""
        ...

    @property
    def stage(self) -> str:
        """Which stream that is."""
        ...

    @property
    def image(self) -> EntryId:
        """Where its pixels are."""
        ...

    @property
    def passed(self) -> Sequence[str]:
        """The stages that it has passed."""
        ...


class Deferral(Struct, frozen=True):
    """A sample that failed and goes back, to be tried again."""

    lease: Lease
    failure: Failure  # where it is not the sample's own, the delivery does not count
    delay: float  # seconds until anybody may claim it


class Commanded(Protocol):
    """What a process asks that does as operators want."""

    async def orders(self, member: str) -> Orders:
        """Read what operators want of the process of this name."""
        ...


class FeedQueue(Commanded, Protocol):
    """What a feeder asks."""

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        ...

    async def settings_mark(self) -> str | None:
        """Tell the settings from others, see Settings; None while nobody has published any."""
        ...

    async def publish(self, document: bytes, dataset: str, *, least: int) -> Settings:
        """Make the settings those of the job, unless feeders of this host have done so before.

        Answers those that the job has then; a job without any begins with the version `least`.
        Refuses when the job is for another data set.
        """
        ...

    async def remind(self, seen: Settings, dataset: str) -> None:
        """Publish settings that were seen if they are forgotten; what is newer stays."""
        ...

    def serve(self, stages: Sequence[str]) -> None:
        """Say which stages the job has, in their order; samples are offered to the first."""
        ...

    async def position(self) -> str:
        """Where the plan stands; empty before the first chunk."""
        ...

    async def plan(
        self, before: str, after: str, chunk: Chunk | None, *, backlog: int, done: bool
    ) -> Planned:
        """Add a chunk and move the plan, if it stands at `before` and fewer than `backlog` wait."""
        ...

    async def epoch(self) -> str:
        """Name what the queue remembers; another name: it may have forgotten something."""
        ...

    async def claim_chunk(self) -> ChunkLease | None:
        """Lease a chunk; None when none came for a moment."""
        ...

    async def offer(self, lease: ChunkLease, offers: Sequence[Offer], budget: Budget) -> Offered:
        """Add the chunk's next samples and move its cursor past them."""
        ...

    async def begin_look(self, lease: ChunkLease) -> Begun:
        """Note that the sample at the cursor is about to be looked at, alone."""
        ...

    async def end_look(self, lease: ChunkLease) -> None:
        """Note that the look is over and its feeder lives."""
        ...

    async def room(self) -> Room:
        """What is in flight now."""
        ...

    async def withdraw(self, lease: ChunkLease, before: str, after: str) -> Withdrawn:
        """Take what is left of a chunk off the plan; and put that, if at `before`, at `after`."""
        ...

    def renewals(self) -> AbstractAsyncContextManager[Renew[ChunkLease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        ...

    def drop(self, leases: Sequence[ChunkLease]) -> None:
        """Note that leases were lost."""
        ...

    async def release_chunk(self, lease: ChunkLease) -> None:
        """Hand the rest of the chunk back, for anybody at once."""
        ...

    async def counts(self) -> Counts:
        """Read the books."""
        ...


class WorkJob(Commanded, Protocol):
    """What a process of workers asks of its job."""

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        ...

    async def settings_mark(self) -> str | None:
        """Tell the settings from others, see Settings; None while nobody has published any."""
        ...

    async def former_stages(self, stages: Sequence[str]) -> list[str]:
        """Name the stages that the job once had beside these: samples may wait in them still."""
        ...

    async def counts(self) -> Counts:
        """Read the books."""
        ...


class WorkQueue(Protocol):
    """What a worker asks."""

    async def serve(
        self,
        order: Sequence[str],
        *,
        lease_seconds: float,
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> None:
        """Say which stages the job has, in their order; before the first claim, and at a change.

        Samples are claimed of `only` those, None: of all; and of stages that the job had before,
        so that somebody moves on what waits there. What is in hand stays so.
        """
        ...

    async def claim(self, count: int, *, new: bool = True) -> list[Lease]:
        """Lease up to `count` samples; empty when none came for a moment.

        Not `new`: only of what is on its way to us already, if anything is.
        """
        ...

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:
        """Read the encoded images of the samples, by entry; one that is gone is left out."""
        ...

    def renewals(self) -> AbstractAsyncContextManager[Renew[Lease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        ...

    def drop(self, leases: Sequence[Lease]) -> None:
        """Note that leases were lost."""
        ...

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:
        """Add what stages made of samples, and move them to the first stage they have not passed.

        None may have been made: then a sample is only moved. False where the lease was lost and
        nothing happened.
        """
        ...

    async def fail(self, failed: Sequence[tuple[Lease, Failure]]) -> list[bool]:
        """Give samples up as dead letters; False where the lease was lost."""
        ...

    async def defer(self, deferrals: Sequence[Deferral]) -> None:
        """Hand back samples that failed, each with its reason, to be tried again after a while."""
        ...

    async def suspect(self, lease: Lease, failure: Failure) -> None:
        """Note why a sample will have failed should its holder never be heard of again."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Hand samples back, for anybody at once; it is no attempt."""
        ...

    async def counts(self) -> Counts:
        """Read the books."""
        ...

    async def close(self) -> None:
        """Say that no more will be claimed; a courtesy."""
        ...


class CaptionQueue(Protocol):
    """What a sink asks."""

    async def read(self, count: int) -> list[Caption]:
        """Lease up to `count` finished samples; empty when none came for a moment."""
        ...

    def renewals(self) -> AbstractAsyncContextManager[Renew[EntryId]]:
        """Open a way to renew leases, in whatever event loop asks.

        What was lost is not read again, should it come back, before a commit or release names it.
        """
        ...

    async def release_captions(self, entries: Sequence[EntryId]) -> None:
        """Hand finished samples back, for another sink at once."""
        ...

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        """Record the part and take its entries off the queue; answers those that were lost.

        Raises QueueForgot where the epoch is another than the given one.
        """
        ...

    async def discard(self, entries: Sequence[EntryId]) -> list[EntryId]:
        """Take entries off whose samples stand in a published part already."""
        ...

    async def epoch(self) -> str:
        """Name what the queue remembers; another name: it may have forgotten something."""
        ...

    async def records(self) -> dict[str, bytes]:
        """Read what is recorded of each committed part."""
        ...

    async def rewrites(self) -> dict[str, str]:
        """Name the parts that are losing rows, each with the token of that rewriting."""
        ...

    async def finish_rewrite(self, part: str, token: str) -> bool:
        """Do what was written down, now that the part has lost its rows; False: it is done."""
        ...

    async def cancel_rewrite(self, part: str, token: str) -> None:
        """Note that the part will not lose its rows."""
        ...

    async def forbid(self, part: str) -> bool:
        """See to it that a part is never recorded; False when it is already."""
        ...

    async def record_part(self, part: str, record: bytes) -> bool:
        """Record a published part that the queue has forgotten; False when it has not.

        The epoch is another then: samples of the part may be on their way to any sink.
        """
        ...

    async def agree(self, schema: bytes) -> bytes:
        """Propose a schema for the sample columns; answers the one that holds for the job."""
        ...

    async def counts(self) -> Counts:
        """Read the books."""
        ...


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


class Operator(Protocol):
    """What is asked by who gives orders to the processes of a job."""

    async def pause(self, order: Order) -> Order | None:
        """Let nobody take on anything new; answers the order by which that is so already."""
        ...

    async def resume(self) -> Order | None:
        """Let all go on; answers the order that was lifted, None where there was none."""
        ...

    async def drain(self, member: str, order: Order) -> None:
        """Let one process end cleanly."""
        ...

    async def members(self) -> dict[str, Member]:
        """Read the last words that were left, by role and name."""
        ...


class LetterFilter(Struct, frozen=True):
    """Which dead letters are meant: those for which all of this holds. Nothing said, all are."""

    ids: frozenset[str] = frozenset()  # of the sample or of the letter's entry
    reasons: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()  # "" among them: given up by the feeder
    since: float | None = None  # seconds since the epoch, given up then or later
    until: float | None = None  # likewise, before then
    contributors: frozenset[str] = frozenset()  # whose workers gave it up

    def admits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        why = letter.failure
        return (
            (not self.ids or not self.ids.isdisjoint({letter.entry, letter.sample.id}))
            and (not self.reasons or why.reason in self.reasons)
            and (not self.stages or why.stage in self.stages)
            and (self.since is None or why.at >= self.since)
            and (self.until is None or why.at < self.until)
            and (not self.contributors or why.contributor in self.contributors)
        )


Letters: TypeAlias = AsyncIterator[list[DeadLetter]]  # a bounded number at a time


class DeadLetters(Protocol):
    """What an operator asks about the samples that were given up."""

    def letters(self, wanted: LetterFilter) -> Letters:
        """Read those that are meant and there now, oldest first."""
        ...

    async def retry(self, chunk: Chunk, letters: Sequence[DeadLetter]) -> set[EntryId]:
        """Put a chunk of their samples in the place of letters, all or none of them.

        Answers the letters that are gone, as after another's retry; then nothing has changed.
        """
        ...

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Take letters off, and their samples with them; answers how many were still there."""
        ...


class Membership(Protocol):
    """How a process says that it lives."""

    async def beat(self, member: Member) -> None:
        """Leave a last word."""
        ...

    async def leave(self, member: Member) -> None:
        """Say goodbye: the process ends cleanly."""
        ...
