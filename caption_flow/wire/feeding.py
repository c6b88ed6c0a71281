"""Wire: the frames of feeders. Chunks and samples travel as payload, in JSON as in the streams."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from caption_flow.model import EntryId
from caption_flow.wire.fields import MOST_RECORD, Entries, Entry, Frame, Line, RequestId

MOST_OFFERED = 64  # samples in one frame
MOST_NAMES = 100_000  # samples in a chunk
MOST_NAME = 4096  # characters of the name of a sample or a shard
MOST_WAITING = 64  # chunks that a plan may be ahead of the feeders
MOST_DIGESTS = 1 << 20  # bytes of them in one frame
SPARE = 8 << 20  # bytes of a payload beside an image: what is said of samples, or a chunk

Place: TypeAlias = Annotated[str, Meta(max_length=64 << 10)]  # where a plan stands
Version: TypeAlias = Annotated[int, Meta(ge=0, le=2**31)]
Cursor: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_NAMES)]
Amount: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
RecordBytes: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_RECORD)]
# Bytes in the payload, of each sample: what is said of it, its image, why it was given up.
Sizes: TypeAlias = Annotated[
    tuple[tuple[RecordBytes, Amount, RecordBytes], ...], Meta(min_length=1, max_length=MOST_OFFERED)
]


class Publish(Frame, frozen=True, array_like=True, tag=30):
    """Brings settings to a job that has none; payload: their document."""

    id: RequestId
    dataset: Line


class Published(Frame, frozen=True, array_like=True, tag=31):
    """The settings that the job has; payload: their document."""

    id: RequestId
    version: int
    by: str
    dataset: str


class Remind(Frame, frozen=True, array_like=True, tag=32):
    """Brings settings back that were seen, if they are forgotten; payload: their document."""

    id: RequestId
    version: Version
    dataset: Line


class Position(Frame, frozen=True, array_like=True, tag=33):
    """Asks where the plan stands."""

    id: RequestId


class Stands(Frame, frozen=True, array_like=True, tag=34):
    """The position, or the epoch."""

    id: RequestId
    text: str


class Epoch(Frame, frozen=True, array_like=True, tag=35):
    """Asks what the queue remembers."""

    id: RequestId


class Plan(Frame, frozen=True, array_like=True, tag=36):
    """Moves the plan; payload: the chunk, if there is one."""

    id: RequestId
    before: Place
    after: Place
    backlog: Annotated[int, Meta(ge=1, le=MOST_WAITING)]
    done: bool


class Planned(Frame, frozen=True, array_like=True, tag=37):
    """What came of it."""

    id: RequestId
    status: Literal["ok", "full", "moved"]
    position: str


class KnownWanted(Frame, frozen=True, array_like=True, tag=38):
    """Asks which samples need not be planned."""

    id: RequestId
    later: bool  # this is not the first plan of the job


class Digests(Frame, frozen=True, array_like=True, tag=39):
    """Some of them; payload: 16 bytes for each."""

    id: RequestId


class Claim(Frame, frozen=True, array_like=True, tag=40):
    """Asks for a chunk beside those that are held."""

    id: RequestId
    holding: Entries


class ChunkSent(Frame, frozen=True, array_like=True, tag=41):
    """A claimed chunk, as payload; without an entry there is none now."""

    id: RequestId
    entry: EntryId
    cursor: int
    attempt: int


class OfferMade(Frame, frozen=True, array_like=True, tag=42):
    """The next samples of a chunk; payload: for each what is said of it, its image, its failure."""

    id: RequestId
    entry: Entry
    cursor: Cursor
    most_bytes: Amount  # that may be in flight
    most_samples: Amount
    sizes: Sizes


class Offered(Frame, frozen=True, array_like=True, tag=43):
    """What came of it, and what is in flight now."""

    id: RequestId
    status: Literal["ok", "full", "moved", "lost"]
    cursor: int
    bytes: int
    samples: int


class Look(Frame, frozen=True, array_like=True, tag=44):
    """The sample at the cursor is about to be looked at alone, or was and nobody died."""

    id: RequestId
    entry: Entry
    cursor: Cursor
    begins: bool


class Begun(Frame, frozen=True, array_like=True, tag=45):
    """How often that was begun."""

    id: RequestId
    status: Literal["ok", "moved", "lost"]
    cursor: int
    looks: int


class Withdraw(Frame, frozen=True, array_like=True, tag=46):
    """Takes what is left of a chunk off the plan, and moves that."""

    id: RequestId
    entry: Entry
    before: Place
    after: Place


class Withdrawn(Frame, frozen=True, array_like=True, tag=47):
    """What came of it."""

    id: RequestId
    status: Literal["ok", "moved", "lost"]


FromFeeder: TypeAlias = (
    Publish | Remind | Position | Epoch | Plan | KnownWanted | Claim | OfferMade | Look | Withdraw
)
ToFeeder: TypeAlias = (
    Published | Stands | Planned | Digests | ChunkSent | Offered | Begun | Withdrawn
)
