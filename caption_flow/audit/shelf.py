"""Audit: the parts, read and told apart by what the queue has recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.audit.seeing import See, unseen
from caption_flow.audit.tally import PartsFound
from caption_flow.dataset.census import Census, PartUnreadable
from caption_flow.dataset.inventory import Inventory, take_inventory, use_file
from caption_flow.dataset.merged import is_merged
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import shared_async

Recorded: TypeAlias = Callable[[], Awaitable[dict[str, int]]]


class Shelf(Struct, frozen=True):
    """The parts of a job."""

    census: Census
    found: PartsFound


async def read_parts(folder: PartFolder, recorded: Recorded | None, see: See = unseen) -> Shelf:
    """Read all finished parts; `recorded` asks the queue, where there is one."""
    async with shared_async(folder.path):
        return await _read_parts(folder, recorded, see)


async def _read_parts(folder: PartFolder, recorded: Recorded | None, see: See) -> Shelf:
    inventory = await asyncio.to_thread(take_inventory, folder)
    # Asked only now: what is published was recorded before.
    known = await recorded() if recorded else {}
    superseded = inventory.superseded | await _merged(folder, known.keys() - inventory.published)
    known = {part: rows for part, rows in known.items() if part not in superseded}
    inventory = replace(inventory, published=inventory.published - superseded)
    census, gone, unreadable = Census(), {}, []
    parts = sorted({*inventory.published, *known})
    for number, part in enumerate(parts):
        see("reading parts", number, len(parts))
        try:
            there = await asyncio.to_thread(use_file, folder, part, partial(census.add, part))
        except PartUnreadable:
            unreadable.append(part)
            continue
        if not there and part in known:
            gone[part] = known[part]
    await asyncio.to_thread(census.close)
    found = _found(inventory, known if recorded else None, census.rows, gone, unreadable)
    return Shelf(census, found)


async def _merged(folder: PartFolder, recorded: Collection[str]) -> set[str]:
    """Name the parts that were merged into such as are recorded, and not published yet."""
    replaced = [
        await asyncio.to_thread(folder.replaced_by, part) for part in filter(is_merged, recorded)
    ]
    return {part for parts in replaced for part in parts or ()}


def _found(
    inventory: Inventory,
    recorded: Mapping[str, int] | None,
    rows: int,
    gone: dict[str, int],
    unreadable: list[str],
) -> PartsFound:
    # Without the queue nobody can say that a part does not count.
    known = inventory.published | inventory.abandoned if recorded is None else recorded.keys()
    return PartsFound(
        published=len(inventory.published),
        rows=rows,
        writing=tuple(sorted(inventory.writing)),
        half_published=tuple(sorted(inventory.abandoned & known)),
        abandoned=tuple(sorted(inventory.abandoned - known)),
        forgotten=tuple(sorted(inventory.published - known)),
        gone=gone,
        unreadable=tuple(unreadable),
    )
