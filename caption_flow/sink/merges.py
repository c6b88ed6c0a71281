"""Sink: what the queue has recorded follows the folder, where parts were merged into others.

Merging records the merged part in the place of the others, and publishes it then. A queue that
knows nothing of that, since it was set back or was not there, has it found here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct

from caption_flow.dataset.merged import is_merged
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import retire
from caption_flow.dataset.rewriting import revision
from caption_flow.queue.ports import CaptionQueue
from caption_flow.sink.records import likeness, read_record, record, summed


class Standing(Struct, frozen=True):
    """The parts whose rows count, and what is recorded."""

    parts: frozenset[str]
    records: Mapping[str, bytes]


class _Seen(Struct, frozen=True):
    standing: Standing
    unretired: bool  # whether files of merged parts stand there as if they were not
    superseded: Mapping[str, str]  # part -> the one that it was merged into


async def follow_merges(queue: CaptionQueue, folder: PartFolder) -> Standing:
    """Record merged parts in the place of those that they replace; answers what there is then."""
    seen = await _look(queue, folder)
    if seen.unretired:
        await asyncio.to_thread(retire, folder)  # who merged died before he could
    if not await _follow(queue, folder, seen):
        return seen.standing
    return (await _look(queue, folder)).standing


async def _look(queue: CaptionQueue, folder: PartFolder) -> _Seen:
    look = await asyncio.to_thread(folder.look)
    records = await queue.records()
    # Recorded before they are published: some may be so only now, or not yet.
    late = filter(is_merged, records.keys() - look.published)
    merged = {part: await asyncio.to_thread(folder.replaced_by, part) for part in late}
    there = {part: replaced for part, replaced in merged.items() if replaced is not None}
    superseded: dict[str, str] = {}
    for part, replaced in there.items():
        superseded |= dict.fromkeys(replaced, part)
    superseded |= look.superseded
    parts = (look.published | there.keys()) - superseded.keys()
    return _Seen(Standing(parts, records), bool(look.unretired), superseded)


async def _follow(queue: CaptionQueue, folder: PartFolder, seen: _Seen) -> bool:
    """Mend what is recorded; answers whether something was."""
    stale: dict[str, dict[str, bytes]] = defaultdict(dict)
    records = seen.standing.records
    for part in records.keys() & seen.superseded.keys():
        stale[seen.superseded[part]][part] = records[part]
    for merged, replaced in stale.items():
        if merged in records:
            await queue.record_part(merged, records[merged], replaced)
        elif await asyncio.to_thread(_has_their_rows, folder, merged, replaced):
            await _record_merged(queue, folder, merged, replaced)
    return bool(stale)


async def _record_merged(
    queue: CaptionQueue, folder: PartFolder, merged: str, replaced: Mapping[str, bytes]
) -> None:
    """Record a merged part that has the rows of these in their place."""
    if len(set(map(likeness, replaced.values()))) == 1:
        await queue.merge_parts(merged, summed(map(read_record, replaced.values())), replaced)
        return
    # Of some of their rows nobody counted who made them: now that is done.
    told = await asyncio.to_thread(_record_of, folder, merged, replaced)
    await queue.record_part(merged, told, replaced)


def _record_of(folder: PartFolder, merged: str, replaced: Mapping[str, bytes]) -> bytes:
    found = [read_record(told) for told in replaced.values()]
    made = folder.tally(merged), folder.shards(merged)
    return record(sum(one.rows for one in found), *made, again=any(one.again for one in found))


def _has_their_rows(folder: PartFolder, merged: str, replaced: Mapping[str, bytes]) -> bool:
    """Whether nothing of a part was forgotten, but that it has the rows of these.

    As many rows may be others: of a part that had not lost its own yet when it was recorded so.
    """
    told = {part: read_record(value) for part, value in replaced.items()}
    last = (folder.replaced_by(merged) or {}) | {merged: revision(folder, merged)}
    if any(rewritten and part not in told for part, rewritten in last.items()):
        return False
    if any(last.get(part) != one.revision for part, one in told.items()):
        return False
    return folder.rows_of(merged) == sum(one.rows for one in told.values())
