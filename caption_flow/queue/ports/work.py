"""Queue: what workers ask, as protocols."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from caption_flow.keeper import Renew
from caption_flow.model import Counts, EntryId, Failure, Lease, Outcomes
from caption_flow.queue.ports.job import Commanded, Settings


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
