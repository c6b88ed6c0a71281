"""Wire: the frames, each with its number, its fields, and the bound of each field.

docs/protocol.md tells what each is for. What is read from a message is of the right types and
within its bounds, or the message is a Breach; whether it is allowed now is for who reads it.
"""

from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, field

from caption_flow.model import Counts, EntryId
from caption_flow.wire import administering, asking, feeding
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import (
    Channel,
    Deferred,
    Done,
    Entries,
    Entry,
    Facts,
    Failed,
    Figures,
    Frame,
    Line,
    MemberName,
    Record,
    Refusal,
    RequestId,
    Role,
    Stages,
    Tickets,
    Word,
)

T = TypeVar("T")

SUBPROTOCOL = "caption-flow.1"

MOST_HEAD = 1 << 20  # bytes
MOST_PAYLOAD = 64 << 20  # bytes, of an image from the server
MOST_SAMPLES = 4096  # credit outstanding on a channel
MOST_BYTES = 256 << 20  # likewise
HELLO_SECONDS = 10.0
PING_SECONDS = 10.0
SILENCE_SECONDS = 20.0  # without an answer to a ping

_LENGTH = 4  # bytes before the head that tell its length


class Hello(Frame, frozen=True, array_like=True, tag=1):
    """Who comes, and as what."""

    role: Role
    member: MemberName
    host: Word
    pid: Annotated[int, Meta(ge=0, lt=2**32)]
    software: Word
    features: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    resume: Annotated[str, Meta(max_length=64)] = ""
    tickets: Tickets = ()  # of a feeder's connections before that, the oldest first


class Welcome(Frame, frozen=True, array_like=True, tag=2):
    """Who the other is taken for, and what holds between the two."""

    contributor: str
    ticket: str
    resumes: bool
    resume_seconds: float
    lease_seconds: float
    most_payload: int  # bytes, from the client
    most_samples: int = MOST_SAMPLES
    most_bytes: int = MOST_BYTES
    features: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()  # that the token is for; none: all
    most_text: int = 64 << 10  # bytes, of one text of a caption
    job: str = ""  # its name
    most_image: int = 0  # bytes, of one that a feeder offers
    budget: tuple[int, int] = (0, 0)  # bytes and samples that feeders keep in flight, at most


class SettingsTold(Frame, frozen=True, array_like=True, tag=3):
    """The settings of the job, as they are now."""

    version: int
    document: bytes
    by: str
    stages: tuple[str, ...]  # all that the job ever had


class Orders(Frame, frozen=True, array_like=True, tag=4):
    """What the operator wants of this process now."""

    paused: bool
    drain: bool


class Notice(Frame, frozen=True, array_like=True, tag=5):
    """Something for the log of the other end."""

    text: str


class Beat(Frame, frozen=True, array_like=True, tag=6):
    """A process' last word."""

    state: Line
    figures: Figures
    facts: Facts = field(default_factory=dict)


class CountsWanted(Frame, frozen=True, array_like=True, tag=7):
    """Asks for the books."""

    id: RequestId


class Counted(Frame, frozen=True, array_like=True, tag=8):
    """The books."""

    id: RequestId
    counts: Counts


class Refused(Frame, frozen=True, array_like=True, tag=9):
    """A request that was not done, and why."""

    id: RequestId
    kind: Refusal
    text: str


class Serve(Frame, frozen=True, array_like=True, tag=10):
    """Opens a channel, or says which stages an open one serves from now on."""

    id: RequestId
    channel: Channel
    only: Stages | None
    former: Stages = ()
    holding: Entries = ()
    tickets: Tickets = ()  # of connections that broke before it was open, the oldest first


class Serving(Frame, frozen=True, array_like=True, tag=11):
    """The channel is open; these of what it held are another's."""

    id: RequestId
    lost: tuple[EntryId, ...] = ()


class Credit(Frame, frozen=True, array_like=True, tag=12):
    """So many more samples, and bytes of images, may be sent."""

    channel: Channel
    samples: Annotated[int, Meta(ge=0, le=MOST_SAMPLES)]
    bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES)]


class SampleSent(Frame, frozen=True, array_like=True, tag=13):
    """A claimed sample."""

    channel: int
    entry: EntryId
    stage: str
    sample: bytes
    image: EntryId
    attempt: int
    outcomes: tuple[bytes, ...]
    failures: bytes  # of the earlier attempts, JSON objects with commas between them
    pushed: bool  # its image comes unasked


class ImageSent(Frame, frozen=True, array_like=True, tag=14):
    """The image of a sample, as payload."""

    channel: int
    entry: EntryId
    gone: bool = False  # it is not in the queue any more


class Fetch(Frame, frozen=True, array_like=True, tag=15):
    """Asks for images that were not pushed."""

    id: RequestId
    channel: Channel
    entries: Entries


class Did(Frame, frozen=True, array_like=True, tag=16):
    """The request was done."""

    id: RequestId


class Renewal(Frame, frozen=True, array_like=True, tag=17):
    """These leases begin anew."""

    id: RequestId
    channel: Channel
    entries: Entries


class Lost(Frame, frozen=True, array_like=True, tag=18):
    """All but these were renewed."""

    id: RequestId
    entries: tuple[EntryId, ...]


class Complete(Frame, frozen=True, array_like=True, tag=19):
    """What stages made of samples."""

    id: RequestId
    channel: Channel
    done: Done


class Settled(Frame, frozen=True, array_like=True, tag=20):
    """Which of them were still the sender's."""

    id: RequestId
    ours: tuple[bool, ...]


class Fail(Frame, frozen=True, array_like=True, tag=21):
    """Samples to be given up."""

    id: RequestId
    channel: Channel
    failed: Failed


class Defer(Frame, frozen=True, array_like=True, tag=22):
    """Samples that failed, to be tried again after a while."""

    id: RequestId
    channel: Channel
    deferred: Deferred


class Suspect(Frame, frozen=True, array_like=True, tag=23):
    """Why a sample will have failed should its holder never be heard of again."""

    id: RequestId
    channel: Channel
    entry: Entry
    failure: Record


class Release(Frame, frozen=True, array_like=True, tag=24):
    """Samples that go back, for anybody at once."""

    id: RequestId
    channel: Channel
    entries: Entries


class Leave(Frame, frozen=True, array_like=True, tag=25):
    """Closes a channel."""

    id: RequestId
    channel: Channel


FromClient: TypeAlias = (
    Hello
    | Beat
    | CountsWanted
    | Serve
    | Credit
    | Fetch
    | Renewal
    | Complete
    | Fail
    | Defer
    | Suspect
    | Release
    | Leave
    | feeding.FromFeeder
    | asking.FromMonitor
    | administering.FromAdmin
)
FromServer: TypeAlias = (
    Welcome
    | SettingsTold
    | Orders
    | Notice
    | Counted
    | Refused
    | Serving
    | SampleSent
    | ImageSent
    | Did
    | Lost
    | Settled
    | feeding.ToFeeder
    | asking.Report
    | administering.ToAdmin
)

_encoder = msgspec.msgpack.Encoder()


def pack(frame: Frame) -> bytes:
    """Write a frame but for its payload."""
    head = _encoder.encode(frame)
    return len(head).to_bytes(_LENGTH, "big") + head


class Reader(Generic[T]):
    """Reads the messages of one side."""

    def __init__(self, kinds: type[T], *, most_payload: int) -> None:
        """`kinds`: the union of its frames; `most_payload`: bytes, 0 where it sends no images."""
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._most_payload = most_payload

    def read(self, message: bytes | str) -> tuple[T, memoryview]:
        """Take a message apart into its frame and its payload, which is not copied.

        Raises Breach where it is none.
        """
        if isinstance(message, str):
            raise Breach(Close.MALFORMED, "A message is text; all are binary.")
        length = int.from_bytes(message[:_LENGTH], "big")
        end = _LENGTH + length
        if len(message) < end or length > MOST_HEAD:
            raise Breach(Close.MALFORMED, "A message is shorter or longer than it says.")
        view = memoryview(message)
        if len(message) - end > self._most_payload:
            raise Breach(Close.LARGE, "A payload is larger than it may be.")
        try:
            return self._decoder.decode(view[_LENGTH:end]), view[end:]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Breach(Close.MALFORMED, f"A frame cannot be read: {exc}") from exc


def from_client(*, most_payload: int = 0) -> "Reader[FromClient]":
    """Read what clients send."""
    return Reader(FromClient, most_payload=most_payload)  # type: ignore[arg-type]


def from_server() -> "Reader[FromServer]":
    """Read what servers send."""
    return Reader(FromServer, most_payload=MOST_PAYLOAD)  # type: ignore[arg-type]
