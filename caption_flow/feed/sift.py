"""Feed: of the samples that a shard lists, those that are wanted and new."""

from collections.abc import Sequence
from itertools import compress

from msgspec import Struct

from caption_flow.dataset.known import Known
from caption_flow.feed.selection import Selection
from caption_flow.model import Listed, sample_id


class Sifted(Struct, frozen=True):
    """What is left of a run of samples."""

    new: list[Listed]  # wanted, and neither captioned nor given up nor on their way
    selected: int  # wanted, the known ones among them

    @property
    def known(self) -> int:
        """How many are wanted and known already."""
        return self.selected - len(self.new)


def sift(
    shard: str, run: Sequence[Listed], selection: Selection, known: Known, *, selected: int
) -> Sifted:
    """Sift samples that follow one another, after so many that were selected before."""
    ids = [sample_id(shard, listed.name) for listed in run]
    drawn = selection.drawn(ids, selected)
    unknown = set(known.unknown(list(compress(ids, drawn))))
    new = [listed for listed, id_ in zip(run, ids, strict=True) if id_ in unknown]
    return Sifted(new, sum(drawn))
