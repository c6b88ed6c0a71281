"""Feed: how far the source is planned, as it stands in the queue."""

import msgspec
from msgspec import Struct

from caption_flow.feed.selection import EVERYTHING, Selection
from caption_flow.model import Listed


class Position(Struct, frozen=True, omit_defaults=True):
    """The last sample planned. By name, so that files that come or go do not shift it."""

    generation: int = 1  # how many times the source is being planned from its start
    shard: str = ""  # empty: no shard has been begun
    after: str = ""  # name of the shard's last planned sample
    ordinal: int = 0  # how many samples of the shard were passed
    done: bool = False  # the source has no more
    word: str = ""  # random, of this plan: after a flush the generations are counted from 1 again
    place: str = ""  # of the last planned sample in its shard, as the source spells it
    fingerprint: str = ""  # of the shard when it was begun
    selected: int = 0  # samples of all shards that were passed and are of the selection
    selection: Selection = EVERYTHING  # what this plan is to plan
    others: tuple[Selection, ...] = ()  # what else earlier plans were for, in no plan's stead
    to_come: int = 0  # how many of those are planned once more after this one
    fresh_only: bool = False  # shards of which no part has a row; all are planned after them

    @property
    def last(self) -> Listed | None:
        """The sample after which to go on; None at the start of a shard."""
        return Listed(self.after, self.place) if self.after else None

    def at(self, shard: str, fingerprint: str) -> "Position":
        """Go on at the start of a shard, in the same plan."""
        return msgspec.structs.replace(
            self, shard=shard, fingerprint=fingerprint, after="", place="", ordinal=0
        )

    def past(self, last: Listed, passed: int, selected: int) -> "Position":
        """Go on after some samples of the shard."""
        return msgspec.structs.replace(
            self,
            after=last.name,
            place=last.place,
            ordinal=self.ordinal + passed,
            selected=self.selected + selected,
        )

    def anew(self, word: str, selection: Selection) -> "Position":
        """Begin again at the start of the source, all being planned, for what is wanted now."""
        before = (*self.others, self.selection)
        others = tuple(other for other in before if not selection.covers(other))
        return Position(self.generation + 1, word=word, selection=selection, others=others)

    def again(self, word: str) -> "Position":
        """Begin again for all that was ever wanted: what was planned for any of it is not there."""
        return self._next(word, len(self.others))

    def ended(self, word: str) -> "Position":
        """Come to the end of the source: all is planned, or the rest or something else is to be."""
        if self.fresh_only:
            return Position(
                self.generation + 1,
                word=word,
                selection=self.selection,
                others=self.others,
                to_come=self.to_come,
            )
        if not self.to_come:
            return msgspec.structs.replace(self, done=True)
        return self._next(word, self.to_come - 1)

    def _next(self, word: str, to_come: int) -> "Position":
        # One after the other, and the present one, which somebody waits for, is the last.
        selection, *others = *self.others, self.selection
        return Position(
            self.generation + 1,
            word=word,
            selection=selection,
            others=tuple(others),
            to_come=to_come,
        )

    def is_before(self, other: "Position") -> bool:
        """Whether the queue has forgotten the plan of the other, going by this newer look at it."""
        if self.generation == other.generation:
            return self.word != other.word
        return self.generation < other.generation

    def encode(self) -> str:
        """Write as JSON, the same text for the same position."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Position":
        """Read what `encode` wrote; an empty text is the very start."""
        return msgspec.json.decode(text.encode(), type=cls) if text else cls()
