"""Queue: what is asked of it by who takes back what a contributor made, as a protocol."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from caption_flow.model import EntryId

Begun: TypeAlias = Literal["ok", "moved", "full"]


class Rewrite(Struct, frozen=True):
    """What is to become of a part, and of the samples of the rows that it loses."""

    token: str  # of this rewriting and no other
    record: str  # of the part without those rows (JSON)
    chunks: tuple[str, ...]  # that the samples are fed again with (JSON)
    counts: tuple[int, ...]  # samples in each
    shards: tuple[str, ...] = ()  # of each, by its name as queue/keys.py writes it


class Made(Struct, frozen=True):
    """A sample on its way, of which a contributor has made something."""

    stream: str  # of the captions, or of a stage
    entry: EntryId
    stage: str  # the first that the contributor made


class Recall(Protocol):
    """What is asked, in this order."""

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        ...

    def under_way(self, contributor: str, since: float) -> AsyncIterator[list[Made]]:
        """Find samples between two stages or before a part, of which it made some since then."""
        ...

    async def recall(self, made: Sequence[Made], contributor: str) -> int:
        """Make dead letters of them, whoever holds them; answers how many were still there."""
        ...

    async def records(self) -> dict[str, bytes]:
        """Read what is recorded of each committed part."""
        ...

    async def begin_rewrite(
        self, part: str, seen: bytes, rewrite: Rewrite, ids: Iterable[str], *, most: int
    ) -> Begun:
        """Write down what is to become of a part; "moved" where it is not recorded as seen.

        "full" where `most` chunks wait already. Both: nothing has changed.
        """
        ...

    async def rewrites(self) -> dict[str, str]:
        """Name the parts that are losing rows, each with the token of that rewriting."""
        ...

    async def finish_rewrite(self, part: str, token: str) -> bool:
        """Do what was written down, now that the part has lost its rows; False: it is done."""
        ...

    async def cancel_rewrite(self, part: str, token: str) -> None:
        """Note that the part will not lose its rows."""
        ...
