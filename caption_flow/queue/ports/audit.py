"""Queue: what an auditor asks of it, as a protocol."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from msgspec import Struct

from caption_flow.model import Chunk, Counts


class Sighting(Struct, frozen=True):
    """A sample as it was seen in a stream."""

    id: str
    shard: str
    chunk: str
    abandoned: bool = False  # under a lease that ran out, and nobody has taken it since


class Waiting(Struct, frozen=True):
    """A chunk, or what is left of it to be offered."""

    chunk: Chunk
    abandoned: bool


class Mark(Struct, frozen=True):
    """How far a job was planned and mended when somebody looked."""

    position: str  # of the plan; empty before the first chunk
    reissues: int  # chunks of missing samples that were added so far


class Books(Struct, frozen=True):
    """The books and, read in the same moment, what they should say by what the streams hold."""

    counted: Counts
    found: Counts
    spare_images: int  # images that no sample needs


class AuditQueue(Protocol):
    """What an auditor asks, in the order of the flow: then it sees what moves at least once."""

    async def mark(self) -> Mark:
        """Say how far the job is planned and mended."""
        ...

    async def chunks(self) -> list[Waiting]:
        """Read the chunks that are not offered to their end."""
        ...

    def in_flight(self) -> AsyncIterator[list[Sighting]]:
        """Read the samples of all stages in their order, and then the captions."""
        ...

    def dead(self) -> AsyncIterator[list[Sighting]]:
        """Read the dead letters."""
        ...

    async def dropped(self) -> list[str]:
        """Name the samples that were dead letters and are wanted no more."""
        ...

    async def retried(self) -> list[str]:
        """Name the samples that were ever dead letters and fed again."""
        ...

    async def taken_back(self) -> int:
        """Count the dead letters that were ever retried or dropped: only they go upstream."""
        ...

    async def recorded(self) -> dict[str, int]:
        """Name the committed parts, each with its rows."""
        ...

    async def books(self) -> Books:
        """Read the books and what they should say."""
        ...

    async def mend_books(self) -> Books:
        """Let the books say what they should, and drop spare images; answers what they said."""
        ...

    async def mend_shards(self) -> bool:
        """Let what is kept of each shard be what streams and parts say; answers if it was not."""
        ...

    async def disown(self) -> int:
        """End the leases on entries that somebody deleted: whoever holds one can do no more."""
        ...

    async def reissue(
        self, chunk: Chunk, seen: Mark, after: str, *, most: int
    ) -> Literal["ok", "moved", "full"]:
        """Add a chunk and put the plan at `after`, if the mark is as seen and there is room."""
        ...

    async def forget_part(self, part: str, lost: int = 0) -> None:
        """Take a part that is gone off the committed ones, and its lost rows off the books."""
        ...
