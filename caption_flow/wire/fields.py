"""Wire: what frames are made of: their base, and the bound of each kind of field."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from caption_flow.model import EntryId

MOST_CHANNELS = 64
MOST_ENTRIES = 4096  # named in one frame
MOST_TICKETS = 8  # of former connections, beside the last one's
MOST_SETTLED = 256  # samples settled in one frame
MOST_RECORD = 256 << 10  # bytes, of what a client says of one sample

Role: TypeAlias = Literal["worker", "feeder", "monitor", "admin"]
Refusal: TypeAlias = Literal["unreachable", "full", "unfit", "failed"]
RequestId: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Channel: TypeAlias = Annotated[int, Meta(ge=0, lt=MOST_CHANNELS)]
Entry: TypeAlias = Annotated[EntryId, Meta(pattern=r"\A[0-9]{1,20}-[0-9]{1,20}\Z")]
MemberName: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,100}\Z")]
Word: TypeAlias = Annotated[str, Meta(max_length=100)]
Line: TypeAlias = Annotated[str, Meta(max_length=1000)]
Stages: TypeAlias = Annotated[tuple[Word, ...], Meta(max_length=1000)]
Tickets: TypeAlias = Annotated[tuple[Word, ...], Meta(max_length=MOST_TICKETS)]
Entries: TypeAlias = Annotated[tuple[Entry, ...], Meta(max_length=MOST_ENTRIES)]
# JSON, as it stands in the streams: so names that are not UTF-8 pass, and nothing is read twice.
Record: TypeAlias = Annotated[bytes, Meta(max_length=MOST_RECORD)]
Outcomes: TypeAlias = Annotated[tuple[Record, ...], Meta(max_length=100)]
Done: TypeAlias = Annotated[tuple[tuple[Entry, Outcomes], ...], Meta(max_length=MOST_SETTLED)]
Failed: TypeAlias = Annotated[tuple[tuple[Entry, Record], ...], Meta(max_length=MOST_SETTLED)]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
Deferred: TypeAlias = Annotated[
    tuple[tuple[Entry, Record, Delay], ...], Meta(max_length=MOST_SETTLED)
]
Figures: TypeAlias = Annotated[dict[Word, float], Meta(max_length=100)]
Facts: TypeAlias = Annotated[dict[Word, Line], Meta(max_length=20)]


class Frame(Struct, frozen=True, array_like=True):
    """What one message holds; subclasses have their number as tag."""
