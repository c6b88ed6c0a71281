"""Queue: leases renewed over a connection of its own, from whatever event loop asks."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from caption_flow.errors import QueueUnreachable
from caption_flow.keeper import Renew
from caption_flow.model import EntryId
from caption_flow.queue.border import GroupGone
from caption_flow.queue.connect import Connections
from caption_flow.queue.scripts import Scripts

T = TypeVar("T")

Place = tuple[str, EntryId]  # stream and entry


@asynccontextmanager
async def renewing(
    connections: Connections,
    *,
    group: str,
    name: str,
    place_of: Callable[[T], Place],
    unreached: Callable[[], None],
) -> AsyncIterator[Renew[T]]:
    """Connect anew, and give what renews the leases of a consumer.

    `unreached` is called, in the event loop that renews, when the server does not answer.
    """
    async with connections.another() as own:
        scripts = Scripts(own.commands)

        async def renew(held: Sequence[T]) -> list[T]:
            try:
                lost = {
                    (stream, entry)
                    for stream, entries in _by_stream(map(place_of, held)).items()
                    for entry in await renewed(scripts, stream, group, name, entries)
                }
            except QueueUnreachable:
                unreached()
                raise
            return [one for one in held if place_of(one) in lost]

        yield renew


async def renewed(
    scripts: Scripts, stream: str, group: str, name: str, entries: Sequence[EntryId]
) -> set[EntryId]:
    """Begin the leases of a consumer anew; answers those that were lost."""
    try:
        lost = await scripts.run("renew", [stream], [group, name, *entries])
    except GroupGone:  # and all leases with it
        return set(entries)
    return {entry.decode() for entry in lost}


def _by_stream(places: "map[Place]") -> dict[str, list[EntryId]]:
    entries: dict[str, list[EntryId]] = defaultdict(list)
    for stream, entry in places:
        entries[stream].append(entry)
    return entries
