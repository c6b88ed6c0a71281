"""Audit: all that a contributor made is taken back, and its samples are captioned by others.

In the order of the flow, so that nothing that moves meanwhile is overlooked: samples on their way,
which become dead letters; dead letters, which are retried; rows of parts. Roles may run.
"""

import asyncio

from msgspec import UNSET, Struct

from caption_flow.audit.rewrite import Excerpt, Rewriter
from caption_flow.audit.seeing import See, unseen
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import sweep
from caption_flow.dataset.rewriting import clear, leftovers
from caption_flow.feed.again import retry
from caption_flow.queue.ports import DeadLetters, LetterFilter
from caption_flow.queue.ports.recall import Recall
from caption_flow.sink.recovery import Recovery

MOST_ROUNDS = 5
BUSY_SECONDS = 1.0  # between two rounds


class Revoked(Struct, frozen=True):
    """What was taken back, or would be."""

    under_way: int = 0  # samples between two stages, or waiting for a part
    letters: int = 0  # dead letters of its workers
    rows: int = 0  # of parts
    parts: int = 0  # that had them
    left: tuple[str, ...] = ()  # sentences: what was not taken back, and why

    @property
    def samples(self) -> int:
        """All that is captioned again."""
        return self.under_way + self.letters + self.rows


class Revocation:
    """Takes back what one contributor made since a time."""

    def __init__(
        self,
        recall: Recall,
        letters: DeadLetters,
        folder: PartFolder,
        recovery: Recovery,
        *,
        contributor: str,
        since: float = 0.0,
        chunk_size: int,
        see: See = unseen,
    ) -> None:
        self._recall = recall
        self._letters = letters
        self._folder = folder
        self._recovery = recovery
        self._contributor = contributor
        self._since = since
        self._see = see
        self._rewriter = Rewriter(
            recall, folder, contributor=contributor, since=since, chunk_size=chunk_size, see=see
        )

    async def survey(self) -> Revoked:
        """Count what would be taken back, and change nothing."""
        under_way = [len(some) async for some in self._recall.under_way(*self._whose)]
        letters = [len(some) async for some in self._letters.letters(self._wanted)]
        parts = await self._rewriter.survey()
        return Revoked(sum(under_way), sum(letters), parts.rows, parts.parts)

    async def run(self) -> Revoked:
        """Take it back; again, until nothing more is found."""
        await self._clear_up()
        await self._rewriter.survey()  # which refuses a folder that is not the one
        done = await self._take_back()
        # Files of parts that were merged before have these rows, too.
        kept = await asyncio.to_thread(sweep, self._folder)
        return _sum(done, Revoked(left=(_KEPT.format(kept=kept),))) if kept else done

    async def _take_back(self) -> Revoked:
        done = Revoked()
        for _ in range(MOST_ROUNDS):
            found, parts = await self._round()
            done = _sum(done, found)
            if parts.full:
                return _sum(done, Revoked(left=(_FULL,)))
            if not found.samples and not parts.busy:
                return done
            await asyncio.sleep(BUSY_SECONDS if parts.busy else 0)
        return _sum(done, Revoked(left=(_BUSY,)))

    async def _clear_up(self) -> None:
        """Settle what others left half done, here and in Redis."""
        await self._recovery.run()
        known = await self._recall.rewrites()
        for part in await asyncio.to_thread(leftovers, self._folder):
            if part not in known:
                await asyncio.to_thread(clear, self._folder, part)

    async def _round(self) -> tuple[Revoked, Excerpt]:
        recalled = 0
        async for some in self._recall.under_way(*self._whose):
            recalled += await self._recall.recall(some, self._contributor)
            self._see("taking back samples", recalled, None)
        # Those just recalled among them.
        retried = await retry(self._letters, self._letters.letters(self._wanted), UNSET)
        parts = await self._rewriter.run()
        letters = max(0, retried.samples - recalled)
        return Revoked(recalled, letters, parts.rows, parts.parts), parts

    @property
    def _whose(self) -> tuple[str, float]:
        return self._contributor, self._since

    @property
    def _wanted(self) -> LetterFilter:
        return LetterFilter(contributors=frozenset({self._contributor}), since=self._since)


def _sum(one: Revoked, other: Revoked) -> Revoked:
    return Revoked(
        one.under_way + other.under_way,
        one.letters + other.letters,
        one.rows + other.rows,
        one.parts + other.parts,
        one.left + other.left,
    )


_FULL = (
    "Not all is taken back: chunks enough wait in Redis. Let a feeder feed them, and run this "
    "again."
)
_KEPT = (
    "Files of merged parts that may have such rows are kept until those who read them are done: "
    "{kept:,}. Run this again then, or compact."
)
_BUSY = "Something of it comes still, or is being published by others: run this again."
