"""Audit: small parts are merged into large ones, while the job runs or when it is done.

For each group of parts: their rows are written as one part, this is recorded in the place of the
others, it gets its name, and the others are retired. A crash in between leaves the parts as they
were, or a merged part that this command or a sink finishes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence

from msgspec import Struct

from caption_flow.audit.registers import Register
from caption_flow.audit.seeing import See, unseen
from caption_flow.dataset.merging import Merging, Small, groups, measure
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import merging_alone, retire, sweep
from caption_flow.errors import StorageUnfit


class Compacted(Struct, frozen=True):
    """What was merged, or would be."""

    parts: int = 0
    rows: int = 0
    into: int = 0  # parts that they became
    kept: int = 0  # files of merged parts that somebody may still read
    changed: int = 0  # parts that others changed meanwhile, and that are as they were
    unreadable: tuple[str, ...] = ()  # sentences: parts that were left alone, and why


class Compaction:
    """Merges the parts of one folder, up to so many rows in each."""

    def __init__(
        self, folder: PartFolder, register: Register, *, rows: int, see: See = unseen
    ) -> None:
        self._folder = folder
        self._register = register
        self._rows = rows
        self._see = see
        self._unreadable: list[str] = []

    async def survey(self) -> Compacted:
        """Count what would be merged, and change nothing."""
        await self._register.check()
        found = await self._groups()
        return Compacted(
            parts=sum(map(len, found)),
            rows=sum(small.rows for group in found for small in group),
            into=len(found),
            unreadable=tuple(self._unreadable),
        )

    async def run(self) -> Compacted:
        """Merge what there is to merge now."""
        with merging_alone(self._folder):
            await self._settle()
            done, changed = await self._merge_all(await self._groups())
            if done:
                # What Redis has forgotten meanwhile of parts that were merged, it learns now.
                await self._register.settle()
            kept = await asyncio.to_thread(sweep, self._folder)
        return Compacted(
            parts=sum(len(merging.parts) for merging in done),
            rows=sum(merging.rows for merging in done),
            into=len(done),
            kept=kept,
            changed=changed,
            unreadable=tuple(self._unreadable),
        )

    async def _settle(self) -> None:
        await self._register.check()
        await self._register.settle()
        await asyncio.to_thread(retire, self._folder)

    async def _groups(self) -> list[tuple[Small, ...]]:
        """Say which parts are to be merged."""
        free = await self._register.free()
        alike: dict[Hashable, list[Small]] = defaultdict(list)
        for number, (part, likeness) in enumerate(free.items()):
            self._see("looking at parts", number, len(free))
            try:
                alike[likeness].append(await asyncio.to_thread(measure, self._folder, part))
            except StorageUnfit as exc:
                self._unreadable.append(str(exc))
        return [group for smalls in alike.values() for group in groups(smalls, self._rows)]

    async def _merge_all(self, found: Sequence[tuple[Small, ...]]) -> tuple[list[Merging], int]:
        """Merge each group; answers what they became, and how many parts were changed by others."""
        done, changed = list[Merging](), 0
        total, seen = sum(map(len, found)), 0
        for group in found:
            self._see("merging parts", seen, total)
            parts = await self._register.still_free([one.part for one in group])
            changed += len(group) - len(parts)
            if len(parts) > 1:
                merging = await asyncio.to_thread(Merging, self._folder, parts)
                try:
                    if await self._merge(merging):
                        done.append(merging)
                    elif len(merging.parts) > 1:
                        changed += len(merging.parts)
                finally:
                    merging.close()
            seen += len(group)
        return done, changed

    async def _merge(self, merging: Merging) -> bool:
        self._unreadable += await asyncio.to_thread(merging.write)
        if len(merging.parts) > 1 and await self._register.enter(merging):
            await asyncio.to_thread(merging.publish)
            await asyncio.to_thread(sweep, self._folder)  # room for the next
            return True
        await asyncio.to_thread(merging.discard)
        return False
