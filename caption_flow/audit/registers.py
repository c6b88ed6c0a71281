"""Audit: who knows which parts count, when parts are to be merged: a queue, or the folder alone."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

from caption_flow.dataset.inventory import take_inventory
from caption_flow.dataset.known import told_apart
from caption_flow.dataset.merging import Merging, finish
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rewriting import clear, leftovers
from caption_flow.errors import StorageUnfit
from caption_flow.queue.ports import CaptionQueue
from caption_flow.sink.records import likeness, read_record, summed
from caption_flow.sink.recovery import Recovery


class Register(Protocol):
    """What is asked by who merges parts, in this order."""

    async def check(self) -> None:
        """Refuse a folder in which parts must not be merged."""
        ...

    async def settle(self) -> None:
        """Finish what others left half done."""
        ...

    async def free(self) -> Mapping[str, Hashable]:
        """Name the parts that may be merged, each with what is the same for those of a group."""
        ...

    async def still_free(self, parts: Sequence[str]) -> list[str]:
        """Name those of these parts that did not change since, just before they are read."""
        ...

    async def enter(self, merging: Merging) -> bool:
        """Let a part that is written count in the place of others; False where these changed."""
        ...


class FolderRegister:
    """Merges by the folder alone: no queue is there, and so nobody writes parts."""

    def __init__(self, folder: PartFolder) -> None:
        self._folder = folder

    async def check(self) -> None:
        """Refuse a folder that a sink writes to."""
        if writing := sorted((await asyncio.to_thread(take_inventory, self._folder)).writing):
            raise StorageUnfit(
                f"Somebody writes {self._folder.temporary(writing[0])}, and no Redis was asked. "
                "Say which Redis the job is on with --redis URL, or stop its sinks."
            )

    async def settle(self) -> None:
        """Finish what was being merged."""
        await asyncio.to_thread(finish, self._folder)

    async def free(self) -> Mapping[str, Hashable]:
        """Name the published parts, but those that are losing rows."""
        losing = await asyncio.to_thread(leftovers, self._folder)
        published = await asyncio.to_thread(self._folder.published)
        return dict.fromkeys(sorted(set(published).difference(losing)))

    async def still_free(self, parts: Sequence[str]) -> list[str]:
        """Name all of them: who reads them sees them as they are."""
        return list(parts)

    async def enter(self, merging: Merging) -> bool:
        """See that the parts are as they were read."""
        return await asyncio.to_thread(merging.is_current)


class QueueRegister:
    """Merges what a queue has recorded, and has it recorded as merged."""

    def __init__(self, folder: PartFolder, queue: CaptionQueue) -> None:
        self._folder = folder
        self._queue = queue
        self._recovery = Recovery(queue, folder, leave_unreadable=True)
        self._records: dict[str, bytes] = {}  # as they were seen before parts were read

    async def check(self) -> None:
        """Refuse a folder that lacks parts: it is not the one that the sinks write to."""
        records = await self._queue.records()
        _, _, missing = await asyncio.to_thread(told_apart, self._folder, records)
        if missing:
            raise StorageUnfit(
                f"{self._folder.path} lacks {len(missing):,} parts that are recorded, such as "
                f"{missing[0]}. Give the folder that the sinks write to; where they are lost, "
                'run "caption-flow scan_chunks PATH --fix" first.'
            )

    async def settle(self) -> None:
        """Finish parts that are half published, merged or losing rows, and record all there are."""
        await self._recovery.run()
        losing = await self._queue.rewrites()
        for part in await asyncio.to_thread(leftovers, self._folder):
            if part not in losing:
                await asyncio.to_thread(clear, self._folder, part)

    async def free(self) -> Mapping[str, Hashable]:
        """Name the published parts that are recorded, but those that are losing rows."""
        losing = await self._queue.rewrites()
        self._records = await self._queue.records()
        published = await asyncio.to_thread(self._folder.published)
        wanted = sorted(self._records.keys() & set(published) - losing.keys())
        return {part: likeness(self._records[part]) for part in wanted}

    async def still_free(self, parts: Sequence[str]) -> list[str]:
        """Name those that are recorded as they were, and losing no rows."""
        losing = await self._queue.rewrites()
        now = await self._queue.records_of(parts)
        return [p for p in parts if p not in losing and now.get(p) == self._records[p]]

    async def enter(self, merging: Merging) -> bool:
        """Record the part in the place of the others."""
        seen = {part: self._records[part] for part in merging.parts}
        record = summed(map(read_record, seen.values()))
        # Redis may have been set back to before they lost rows, and tell what it told.
        if not await asyncio.to_thread(merging.is_current):
            return False
        if not await self._queue.merge_parts(merging.name, record, seen):
            return False
        if await asyncio.to_thread(merging.is_current):
            return True
        await self._queue.unmerge_parts(merging.name, seen)
        return False
