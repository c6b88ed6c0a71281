"""Audit: mending. What is missing is fed again, once; what is doubled is its owner's to judge.

First everything is settled that may still come about: half-published parts, and leases on entries
that somebody deleted, whose holders may yet offer or commit them. What is missing then, is.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.audit.audit import Audit, Scan
from caption_flow.audit.tally import Findings, Mended
from caption_flow.dataset.inventory import Inventory, take_inventory
from caption_flow.dataset.parts import PartFolder
from caption_flow.feed.position import Position
from caption_flow.model import Chunk
from caption_flow.queue.ports.audit import AuditQueue, Mark
from caption_flow.sink.recovery import Recovery

MOST_WAITING = 1000  # chunks: what is missing beyond is for another time, as Redis has bounds


class Reissued(Struct, frozen=True):
    """What was fed again."""

    samples: int = 0
    chunks: int = 0
    stopped: str = ""  # why not all of it


class Mender:
    """Mends one job; several may, at any time, while its roles run."""

    def __init__(
        self,
        audit: Audit,
        queue: AuditQueue,
        folder: PartFolder,
        recovery: Recovery,
        *,
        chunk_size: int,
    ) -> None:
        self._audit = audit
        self._queue = queue
        self._folder = folder
        self._recovery = recovery
        self._chunk_size = chunk_size

    async def run(self) -> Mended:
        """Mend what can be."""
        await self._recovery.finish_rewrites()
        before = await asyncio.to_thread(take_inventory, self._folder)
        recorded = await self._queue.recorded()
        if _is_another(self._folder, before, recorded) and not await self._holds(recorded):
            return Mended(left=(_ANOTHER.format(folder=self._folder.path, count=len(recorded)),))
        mended = await self._settle_parts(before, before.published - recorded.keys())
        mended = replace(mended, disowned=await self._queue.disown())
        return await self._mend(mended, await self._audit.scan())

    async def _holds(self, recorded: Mapping[str, int]) -> bool:
        """Whether the folder has as many of the data set's samples as the parts that are gone."""
        there = await self._audit.captioned(await self._audit.scan())
        return 0 < sum(recorded.values()) <= there

    async def _settle_parts(self, before: Inventory, forgotten: frozenset[str]) -> Mended:
        if not before.abandoned and not forgotten:
            return Mended()
        await self._recovery.run()
        after = await asyncio.to_thread(take_inventory, self._folder)
        recorded = await self._queue.recorded()
        settled = before.abandoned - after.abandoned
        return Mended(
            published=len(settled & after.published),
            deleted=len(settled - after.published),
            recorded=len(forgotten & recorded.keys()),
        )

    async def _mend(self, mended: Mended, scan: Scan) -> Mended:
        findings = scan.findings
        obstacle = _obstacle(findings)
        reissued = Reissued(stopped=obstacle) if obstacle else await self._reissue(scan)
        mended = replace(mended, reissued=reissued.samples, chunks=reissued.chunks)
        if reissued.stopped:
            # The books are not touched: where no source tells, they alone know what is missing.
            return replace(mended, left=(reissued.stopped,))
        await self._forget(scan)
        if findings.parts.gone:
            await self._recovery.run()  # parts from a backup can be recorded only now
        if findings.differences:
            await self._queue.mend_books()
        shards_changed = await self._queue.mend_shards()
        return replace(
            mended,
            parts_forgotten=tuple(findings.parts.gone),
            books_changed=bool(findings.differences) or shards_changed,
        )

    async def _forget(self, scan: Scan) -> None:
        """Take parts that are gone off the books, with those of their rows that are lost."""
        left = scan.lost_rows
        for part, rows in scan.findings.parts.gone.items():
            lost = min(rows, left)
            await self._queue.forget_part(part, lost)
            left -= lost

    async def _reissue(self, scan: Scan) -> Reissued:
        reissued = Reissued()
        if scan.heard is None:
            return reissued
        mark = scan.heard.mark
        lost = self._audit.lost(scan.comparison, scan.heard)
        async for chunk in _merged(lost, self._chunk_size):
            status, mark = await self._add(chunk, mark)
            if status != "ok":
                return replace(reissued, stopped=_STOPPED[status])
            reissued = Reissued(reissued.samples + chunk.count, reissued.chunks + 1)
        return reissued

    async def _add(self, chunk: Chunk, mark: Mark) -> tuple[str, Mark]:
        """Add a chunk, wherever the plan is by now, unless it began anew or another mended."""
        while True:
            after = _after(mark.position)
            status = await self._queue.reissue(chunk, mark, after, most=MOST_WAITING)
            if status == "ok":
                return status, Mark(after, mark.reissues + 1)
            now = await self._queue.mark()
            if status == "full" or not _is_same_plan(mark, now):
                return status, now
            mark = now


def _is_same_plan(one: Mark, other: Mark) -> bool:
    # By its word too: a Redis that was emptied counts all this anew.
    plans = [Position.decode(mark.position) for mark in (one, other)]
    names = {(plan.generation, plan.word) for plan in plans}
    return one.reissues == other.reissues and len(names) == 1


def _after(position: str) -> str:
    """Where to put the plan: a new generation, where it is done, and else where it is.

    A feeder that is about to look for what is new has read already what is known, and shall find
    that its position is not the plan's.
    """
    plan = Position.decode(position)
    return replace(plan, generation=plan.generation + 1).encode() if plan.done else position


async def _merged(lost: AsyncIterator[Chunk], most: int) -> AsyncIterator[Chunk]:
    """Join what follows in the same shard, up to so many samples, under ids of their own."""
    held: Chunk | None = None
    async for chunk in lost:
        if held is not None and (held.shard != chunk.shard or held.count + chunk.count > most):
            yield held
            held = None
        names = (*held.names, *chunk.names) if held else chunk.names
        held = replace(chunk, id=f"{chunk.shard}:fix-{secrets.token_hex(6)}", names=names)
    if held is not None:
        yield held


def _is_another(folder: PartFolder, inventory: Inventory, recorded: Mapping[str, int]) -> bool:
    """Whether the folder is not that of the sinks: it has none of their parts, but others."""
    if not recorded or recorded.keys() & inventory.superseded:
        return False
    if any(folder.exists(part) for part in recorded):
        return False
    return bool(inventory.published) or not folder.path.exists()


def _obstacle(findings: Findings) -> str:
    """Say why nothing may be fed again; empty where it may."""
    missing, parts = findings.totals.missing, findings.parts
    if (missing or parts.gone) and parts.unreadable:
        return _UNREADABLE
    if findings.source:
        return ""
    return _UNNAMED.format(missing=missing) if missing else _UNSURE if parts.gone else ""


_ANOTHER = (
    "Nothing was mended: {folder} has none of the {count:,} parts that are recorded. "
    "Set storage.data_dir to the folder that the sinks write to; if they were merged there, give "
    "the PATH of the data set."
)
_UNNAMED = (
    "{missing:,} missing samples are not fed again: without the data set nobody can name them. "
    "Give its PATH."
)
_UNSURE = (
    "Parts that are gone stay recorded: whether others have all their rows only the data set "
    "tells. Give its PATH."
)
_UNREADABLE = (
    "Nothing is fed again while there are parts that cannot be read, since they may hold what is "
    "missing. Mend them or move them away."
)
_STOPPED = {
    "full": "Not all that is missing is fed again: chunks enough wait in Redis. Feed them first.",
    "moved": "Somebody else feeds again what is missing: look once more.",
}
