"""Feed: which samples are somewhere between the plan and a part, or in one; so nobody plans those.

Whoever reaches Redis looks there and into the folder of the parts. Others ask a proxy.
"""

import asyncio
from itertools import chain
from typing import Protocol

from caption_flow.dataset.known import Known, known_in
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.versions import newest_version


class Whereabouts(Protocol):
    """What is asked of either."""

    async def known(self, *, later: bool) -> Known:
        """Find what is captioned, given up or on its way already.

        `later`: this is not the first plan of the job.
        """
        ...

    async def newest_version(self) -> int:
        """Find the highest version of settings that a finished part tells of; 0 where none does."""
        ...


class Traced(Protocol):
    """What is asked of a queue about its samples."""

    async def parts(self) -> set[str]:
        """Name the committed parts."""
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

    async def known(self, *, later: bool) -> Known:
        """Find what is captioned, given up or on its way already."""
        # In the first generation nothing that Redis knows of is planned twice; what stands in
        # the folder then is from before Redis was emptied.
        underway = await self._queue.underway() if later else []
        dead = await self._queue.dead_ids()
        recorded = await self._queue.parts() if later else set[str]()
        return await asyncio.to_thread(known_in, self._folder, recorded, chain(underway, dead))

    async def newest_version(self) -> int:
        """Find the highest version that a finished part tells of."""
        return await asyncio.to_thread(newest_version, self._folder)
