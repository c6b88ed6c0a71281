"""Audit: rows of a contributor are taken out of the parts, and their samples are fed again.

For each part: the other rows are written beside it, Redis writes down what is to become of the
samples, the file is replaced, and Redis does what it wrote. A crash in between leaves the part as
it was, or a rewriting that this command, a sink or the auditor finishes.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TypeVar

from msgspec import Struct

from caption_flow.audit.mend import MOST_WAITING
from caption_flow.audit.seeing import See, unseen
from caption_flow.codec import records
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rewriting import Rewriting, Taken, begin, count
from caption_flow.errors import QueueForgot, StorageBlocked, StorageUnfit
from caption_flow.model import Chunk, sample_name
from caption_flow.queue.keys import shard_to
from caption_flow.queue.ports.recall import Recall, Rewrite
from caption_flow.sink.records import read_record, record

T = TypeVar("T")

TOGETHER = 32  # parts: so many files are open at once
# Until a server that writes to its disk every second has, and cannot forget what was written down.
DURABLE_SECONDS = 2.5


class Excerpt(Struct, frozen=True):
    """What was taken out of the parts."""

    rows: int = 0
    parts: int = 0  # that had them
    busy: int = 0  # parts that others publish or rewrite just now
    full: bool = False  # no more chunks may wait


class _Begun(Struct, frozen=True):
    """A rewriting that is written down."""

    rewriting: Rewriting
    rows: int  # that are taken out


class Rewriter:
    """Takes the rows of one contributor out of the parts, those made since a time."""

    def __init__(
        self,
        recall: Recall,
        folder: PartFolder,
        *,
        contributor: str,
        since: float,
        chunk_size: int,
        see: See = unseen,
    ) -> None:
        self._recall = recall
        self._folder = folder
        self._contributor = contributor
        self._since = since
        self._chunk_size = chunk_size
        self._see = see
        self._busy = 0
        self._full = False

    async def survey(self) -> Excerpt:
        """Count what is to be taken out."""
        suspects, counts = await self._suspects(), list[int]()
        for part in suspects:
            self._see("looking at parts", len(counts), len(suspects))
            counts.append(await self._count(part))
        return Excerpt(sum(counts), sum(map(bool, counts)))

    async def run(self) -> Excerpt:
        """Take out what there is now."""
        self._busy, self._full = 0, False
        rows: list[int] = []  # taken out of each part
        suspects = list((await self._suspects()).items())
        total = len(suspects)
        while suspects and not self._full:
            self._see("rewriting parts", total - len(suspects), total)
            rows += await self._take_out(suspects[:TOGETHER])
            del suspects[:TOGETHER]
        return Excerpt(sum(rows), len(rows), self._busy, self._full)

    async def _suspects(self) -> dict[str, bytes]:
        """Name the parts that may have such rows, by what is recorded of them."""
        told = await self._recall.records()
        suspects = {part: told[part] for part in sorted(told) if self._is_suspect(told[part])}
        suspects = await self._merged(suspects, told)
        missing = [part for part in suspects if not self._folder.exists(part)]
        if missing:
            raise StorageUnfit(
                f"{self._folder.path} lacks {len(missing):,} parts that may have captions of "
                f"{self._contributor}, such as {missing[0]}. Set storage.data_dir to the folder "
                "that the sinks write to."
            )
        return suspects

    async def _merged(self, suspects: dict[str, bytes], told: dict[str, bytes]) -> dict[str, bytes]:
        """Name merged parts in the place of those that stand in them by now."""
        superseded = (await asyncio.to_thread(self._folder.look)).superseded
        merged = {superseded[part] for part in suspects if part in superseded}
        rest = {part: seen for part, seen in suspects.items() if part not in superseded}
        return rest | {part: told.get(part, b"{}") for part in sorted(merged)}

    def _is_suspect(self, value: bytes) -> bool:
        told = read_record(value)
        # An earlier version recorded no tally.
        return self._contributor in told.tally or (told.rows > 0 and not told.tally)

    async def _count(self, part: str) -> int:
        if not await asyncio.to_thread(self._folder.is_published, part):
            return 0
        found = await self._unless_merged(
            part, lambda: count(self._folder, part, self._contributor, self._since)
        )
        return found or 0

    async def _unless_merged(self, part: str, read: Callable[[], T]) -> T | None:
        """Read a part; None where it is merged meanwhile, which is to be looked at later."""
        try:
            return await asyncio.to_thread(read)
        except StorageBlocked:
            if self._folder.is_published(part):
                raise
            self._busy += 1
            return None

    async def _take_out(self, suspects: Sequence[tuple[str, bytes]]) -> list[int]:
        with ExitStack() as files:
            begun = [
                one
                for part, seen in suspects
                if not self._full and (one := await self._begin(part, seen, files))
            ]
            return [await self._finish(one) for one in await self._lasting(begun)]

    async def _begin(self, part: str, seen: bytes, files: ExitStack) -> _Begun | None:
        """Write the rest of a part, and note what is to become of it; None where nothing is."""
        if not await asyncio.to_thread(self._folder.is_published, part):
            self._busy += 1
            return None
        if not await self._count(part):
            return None
        rewriting = await asyncio.to_thread(begin, self._folder, part, secrets.token_hex(8))
        if rewriting is None:
            self._busy += 1
            return None
        files.callback(rewriting.close)
        taken = await self._unless_merged(
            part, lambda: rewriting.write(self._contributor, self._since)
        )
        if taken is None:
            await asyncio.to_thread(rewriting.discard)
            return None
        rewrite = await self._rewrite(rewriting, taken, again=read_record(seen).again)
        ids = [row.id for row in taken]
        answer = await self._recall.begin_rewrite(part, seen, rewrite, ids, most=MOST_WAITING)
        if answer == "ok":
            return _Begun(rewriting, len(taken))
        await asyncio.to_thread(rewriting.discard)
        self._busy += answer == "moved"
        self._full = answer == "full"
        return None

    async def _rewrite(
        self, rewriting: Rewriting, taken: Sequence[Taken], *, again: bool
    ) -> Rewrite:
        tally, shards = await asyncio.to_thread(rewriting.prepare)
        token = rewriting.token
        rest = record(rewriting.rows, tally, shards, again=again, revision=token)
        chunks = list(_chunks(taken, self._chunk_size))
        return Rewrite(
            token,
            rest.decode(),
            tuple(records.encode(chunk).decode() for chunk in chunks),
            tuple(chunk.count for chunk in chunks),
            tuple(shard_to(chunk.shard) for chunk in chunks),
        )

    async def _lasting(self, begun: Sequence[_Begun]) -> list[_Begun]:
        """Wait until Redis cannot forget what it wrote down; give up what it has by then."""
        if not begun:
            return []
        await asyncio.sleep(DURABLE_SECONDS)
        known = await self._recall.rewrites()
        for one in begun:
            if known.get(one.rewriting.part) != one.rewriting.token:
                await asyncio.to_thread(one.rewriting.discard)
                self._busy += 1
        return [one for one in begun if known.get(one.rewriting.part) == one.rewriting.token]

    async def _finish(self, one: _Begun) -> int:
        part, token = one.rewriting.part, one.rewriting.token
        if not await asyncio.to_thread(one.rewriting.replace):
            await self._recall.cancel_rewrite(part, token)
            self._busy += 1
            return 0
        if not await self._recall.finish_rewrite(part, token):
            told = (await self._recall.records()).get(part)
            # A sink that looked in between has finished it for us.
            if told is None or read_record(told).revision != token:
                raise QueueForgot(
                    f"Redis was emptied while {one.rows:,} rows were taken out of {part}. "
                    '"caption-flow scan_chunks PATH --fix" feeds their samples again.'
                )
        return one.rows


def _chunks(taken: Iterable[Taken], most: int) -> Iterator[Chunk]:
    """Name the samples to be fed again, by shards."""
    shards: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for row in taken:
        if (name := sample_name(row.shard, row.id)) is not None:
            shards[row.dataset, row.shard][name] = None
    for (dataset, shard), some in shards.items():
        names = tuple(some)
        for first in range(0, len(names), most):
            id_ = f"{shard}:revoke-{secrets.token_hex(6)}"
            yield Chunk(id_, dataset, shard, names[first : first + most])
