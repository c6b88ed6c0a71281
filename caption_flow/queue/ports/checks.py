"""Queue: what was found when captions of contributors were checked."""

from typing import Literal, TypeAlias

from msgspec import Struct

SHOWN = 300  # characters of a text that a disagreement keeps

Kind: TypeAlias = Literal["known", "again"]


class Disagreement(Struct, frozen=True):
    """A contributor's caption, and another that says something else."""

    sample: str  # its id; of known images the name
    kind: Kind  # against what: a known caption, or one that a trusted worker made
    expected: str  # the beginning of each
    given: str
    agreement: float  # from 0 to 1
    at: float  # seconds since the epoch


class Verdict(Struct, frozen=True):
    """What comes of comparing one caption of a contributor."""

    contributor: str
    agreement: float
    disagreement: Disagreement | None  # None: they agree
