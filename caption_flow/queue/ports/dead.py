"""Queue: what is asked about the samples that were given up, as a protocol."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from caption_flow.model import Chunk, DeadLetter, EntryId


class LetterFilter(Struct, frozen=True):
    """Which dead letters are meant: those for which all of this holds. Nothing said, all are."""

    ids: frozenset[str] = frozenset()  # of the sample or of the letter's entry
    reasons: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()  # "" among them: given up by the feeder
    since: float | None = None  # seconds since the epoch, given up then or later
    until: float | None = None  # likewise, before then
    contributors: frozenset[str] = frozenset()  # whose workers gave it up

    def admits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        why = letter.failure
        return (
            (not self.ids or not self.ids.isdisjoint({letter.entry, letter.sample.id}))
            and (not self.reasons or why.reason in self.reasons)
            and (not self.stages or why.stage in self.stages)
            and (self.since is None or why.at >= self.since)
            and (self.until is None or why.at < self.until)
            and (not self.contributors or why.contributor in self.contributors)
        )


Letters: TypeAlias = AsyncIterator[list[DeadLetter]]  # a bounded number at a time


class DeadLetters(Protocol):
    """What an operator asks about the samples that were given up."""

    def letters(self, wanted: LetterFilter) -> Letters:
        """Read those that are meant and there now, oldest first."""
        ...

    async def retry(self, chunk: Chunk, letters: Sequence[DeadLetter]) -> set[EntryId]:
        """Put a chunk of their samples in the place of letters, all or none of them.

        Answers the letters that are gone, as after another's retry; then nothing has changed.
        """
        ...

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Take letters off, and their samples with them; answers how many were still there."""
        ...
