"""Queue: what a feeder asks, as a protocol, and what it is answered."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from caption_flow.keeper import Renew
from caption_flow.model import Chunk, ChunkLease, Counts, Offer
from caption_flow.queue.ports.job import Commanded, Settings

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
