"""Queue: entries of several lanes side by side. An entry is unique in its lane only."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from msgspec.structs import replace

from caption_flow.keeper import Renew
from caption_flow.model import ChunkLease, DeadLetter, EntryId, Lease

T = TypeVar("T")
Entered = TypeVar("Entered", ChunkLease, Lease, DeadLetter)


def marked(lane: int, one: Entered) -> Entered:
    """Name its lane with its entry."""
    return replace(one, entry=f"{lane}/{one.entry}")


def bare(one: Entered) -> Entered:
    """Take the lane off again."""
    return replace(one, entry=one.entry.partition("/")[2])


def lane_of(entry: EntryId) -> int:
    """Read the lane of a marked entry."""
    return int(entry.partition("/")[0])


def by_lane(things: Iterable[T], entry_of: Callable[[T], EntryId]) -> dict[int, list[T]]:
    """Sort what is said of marked entries by their lanes."""
    groups: dict[int, list[T]] = defaultdict(list)
    for thing in things:
        groups[lane_of(entry_of(thing))].append(thing)
    return groups


@asynccontextmanager
async def renewing(
    ways: Sequence[AbstractAsyncContextManager[Renew[Entered]]],
) -> AsyncIterator[Renew[Entered]]:
    """Open the ways of all lanes to renew leases, as one."""
    async with AsyncExitStack() as stack:
        renews = [await stack.enter_async_context(way) for way in ways]

        async def renew(held: Sequence[Entered]) -> list[Entered]:
            groups = by_lane(held, lambda lease: lease.entry)
            asked = [renews[lane](list(map(bare, leases))) for lane, leases in groups.items()]
            # All of them, also where the node of one is away: the others' leases run on.
            answers = await asyncio.gather(*asked, return_exceptions=True)
            lost: list[Entered] = []
            for lane, answer in zip(groups, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                gone = {lease.entry for lease in answer}
                lost += [lease for lease in groups[lane] if bare(lease).entry in gone]
            return lost

        yield renew
