"""Feed: which samples are somewhere between the plan and a part, or in one; so nobody plans those.

Whoever reaches Redis looks there and into the folder of the parts. Others ask a proxy.
"""

import asyncio
from itertools import chain
from typing import Protocol

from msgspec import Struct

from caption_flow.dataset.begun import begun_in
from caption_flow.dataset.known import Known, known_in
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.versions import newest_version


class Beginnings(Struct, frozen=True):
    """What has to be known to plan shards of which no part has a row."""

    shards: frozenset[str]  # of which parts have rows
    known: Known  # samples given up or on their way


class Whereabouts(Protocol):
    """What is asked of either."""

    async def known(self, *, later: bool, midway: bool) -> Known:
        """Find what is captioned, given up or on its way already, and may be planned once more.

        `later`: this is not the first plan of the job; `midway`: it has come past its start.
        """
        ...

    async def has_parts(self) -> bool:
        """Whether there is a finished part, if that can be told at once."""
        ...

    async def beginnings(self, *, later: bool) -> Beginnings | None:
        """Find which shards stand in parts; None where that cannot be told soon, or for sure."""
        ...

    async def newest_version(self) -> int:
        """Find the highest version of settings that a finished part tells of; 0 where none does."""
        ...


class Traced(Protocol):
    """What is asked of a queue about its samples."""

    async def parts(self) -> set[str]:
        """Name the committed parts."""
        ...

    async def parts_of_this_plan(self) -> set[str]:
        """Name those of them that were committed when they were written, and are of the first plan.

        Not such as the queue had forgotten, and was told of again.
        """
        ...

    async def underway(self) -> list[str]:
        """Name the samples between plan and part, in the order of the flow."""
        ...

    async def dead_ids(self) -> list[str]:
        """Name the samples that were given up, those too that were retried or dropped since."""
        ...


class FolderWhereabouts:
    """Looks into a queue, and then into the folder of its parts.

    A sample only moves downstream, so it is looked for in the order of the flow: whatever moves
    meanwhile is seen at least once.
    """

    def __init__(self, queue: Traced, folder: PartFolder) -> None:
        self._queue = queue
        self._folder = folder

    async def known(self, *, later: bool, midway: bool) -> Known:
        """Find what is captioned, given up or on its way already, and may be planned once more."""
        # In the first generation nothing that Redis knows of is planned twice. Where it has come
        # past its start, those parts that Redis has never forgotten are of samples before that;
        # the others are from before Redis was emptied.
        underway = await self._queue.underway() if later else []
        dead = await self._queue.dead_ids()
        passed = await self._queue.parts_of_this_plan() if midway and not later else set[str]()
        recorded = await self._queue.parts() if later else set[str]()
        given_up = chain(underway, dead)
        return await asyncio.to_thread(
            lambda: known_in(self._folder, recorded, given_up, passed=passed)
        )

    async def has_parts(self) -> bool:
        """Whether there is a finished part."""
        return bool(await asyncio.to_thread(self._folder.published))

    async def beginnings(self, *, later: bool) -> Beginnings | None:
        """Find which shards stand in parts, and what is given up or on its way."""
        underway = await self._queue.underway() if later else []
        dead = await self._queue.dead_ids()
        recorded = await self._queue.parts()
        shards = await asyncio.to_thread(begun_in, self._folder, recorded)
        return None if shards is None else Beginnings(shards, Known(chain(underway, dead)))

    async def newest_version(self) -> int:
        """Find the highest version that a finished part tells of."""
        return await asyncio.to_thread(newest_version, self._folder)
