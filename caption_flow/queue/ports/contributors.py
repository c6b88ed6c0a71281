"""Queue: what is known of those who lend workers, as a protocol; and how they stand."""

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from caption_flow.model import Credit

Kind: TypeAlias = Literal["contributor", "anonymous", "own"]

OWN = "(the operator's own)"
_LONGEST = 60  # characters of a name that is shown to everybody


class Contributor(Struct, frozen=True):
    """What one contributor has done. Captions and tokens are those of the rows in the parts."""

    name: str  # empty: the operator's own workers
    credit: Credit = Credit()
    failures: int = 0  # samples that its workers gave up
    seconds: float = 0.0  # connected, with work in hand
    checked: int = 0  # captions that were known, or that a trusted worker made again
    agreed: int = 0  # of those, that were found to say the same
    agreement: float = 0.0  # how much each of them did, from 0 to 1, added up
    unanswered: int = 0  # samples with known captions that its workers handed back or gave up
    first_seen: float = 0.0  # seconds since the epoch; 0: never
    last_seen: float = 0.0
    anonymous: bool = False  # wants not to be named

    @property
    def kind(self) -> Kind:
        """Whether it may be named, and is a contributor at all."""
        return "own" if not self.name else "anonymous" if self.anonymous else "contributor"


class Standing(Struct, frozen=True):
    """A line of the leaderboard, for everybody to see."""

    kind: Kind
    name: str  # empty for those who are not named
    rank: int  # 1 for the most captions, the same for as many; 0 for those who are not named
    members: int  # contributors in this line
    credit: Credit
    seconds: float

    @property
    def title(self) -> str:
        """Say who is in this line; nobody is named who wants not to be."""
        if self.kind == "own":
            return OWN
        if self.kind == "anonymous":
            return f"(anonymous: {self.members:,})"
        return self.name if len(self.name) <= _LONGEST else f"{self.name[: _LONGEST - 1]}…"


class Contributors(Protocol):
    """What is asked about contributors, and told of them."""

    async def contributors(self) -> list[Contributor]:
        """Read what is known of each, by name."""
        ...

    async def spent(self, contributor: str, seconds: float, *, anonymous: bool) -> None:
        """Add time that its workers were connected with work in hand; it was seen now.

        Not to be repeated when the answer is lost: a time that is told twice counts twice.
        """
        ...


def leaderboard(entries: Iterable[Contributor]) -> list[Standing]:
    """Rank contributors by their captions.

    Those who are not named make one line after them, and so do the operator's own workers.
    """
    made = [one for one in entries if one.credit.captions > 0]
    return [*_ranked(made), *_together(made, "anonymous"), *_together(made, "own")]


def _ranked(entries: Iterable[Contributor]) -> Iterator[Standing]:
    named = [one for one in entries if one.kind == "contributor"]
    named.sort(key=lambda one: (-one.credit.captions, one.name))
    rank = 0
    for place, one in enumerate(named, start=1):
        if place == 1 or one.credit.captions < named[place - 2].credit.captions:
            rank = place
        yield Standing("contributor", one.name, rank, 1, one.credit, one.seconds)


def _together(entries: Iterable[Contributor], kind: Kind) -> Iterator[Standing]:
    some = [one for one in entries if one.kind == kind]
    if some:
        credit = sum((one.credit for one in some), Credit())
        yield Standing(kind, "", 0, len(some), credit, sum(one.seconds for one in some))
