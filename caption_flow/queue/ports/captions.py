"""Queue: what a sink asks, as a protocol."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from caption_flow.keeper import Renew
from caption_flow.model import Caption, Counts, EntryId


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

    async def records_of(self, parts: Sequence[str]) -> dict[str, bytes]:
        """Read what is recorded of these, as far as they are."""
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

    async def record_part(self, part: str, record: bytes, merged: Iterable[str] = ()) -> bool:
        """Record a published part that the queue has forgotten; False when it has not.

        The epoch is another then: samples of the part may be on their way to any sink. The parts
        that were `merged` into it are not recorded after that.
        """
        ...

    async def merge_parts(self, merged: str, record: bytes, seen: Mapping[str, bytes]) -> bool:
        """Record a part in the place of those it was merged of, whose sum its record is.

        False where one of these is not recorded as seen, or is losing rows: nothing has changed.
        """
        ...

    async def unmerge_parts(self, merged: str, seen: Mapping[str, bytes]) -> None:
        """Record the parts as they were, and never the one that they were merged into.

        Nothing but the latter, where that one is not recorded.
        """
        ...

    async def agree(self, schema: bytes) -> bytes:
        """Propose a schema for the sample columns; answers the one that holds for the job."""
        ...

    async def counts(self) -> Counts:
        """Read the books."""
        ...
