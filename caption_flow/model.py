"""The nouns of the system: what moves from source to part.

Frozen, without I/O; codec/ turns them into records and back.
"""

from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import asdict, astuple, replace

EntryId: TypeAlias = str  # id of a stream entry, "<milliseconds>-<sequence>"
Columns: TypeAlias = dict[str, Any]  # a sample's own columns, JSON types only
# Sampling parameters by name, as in a document; unset: as the stages say.
SamplingKeys: TypeAlias = dict[str, Any] | UnsetType


ROOT_SHARD = "."  # the shard of samples that lie in no shard of their own


def sample_id(shard: str, name: str) -> str:
    """Spell the id of a sample, unique within its data set."""
    return name if shard == ROOT_SHARD else f"{shard}/{name}"


def sample_name(shard: str, id_: str) -> str | None:
    """Find the name of a sample within its shard by its id; None where it has another's."""
    name = id_ if shard == ROOT_SHARD else id_.removeprefix(f"{shard}/")
    return name if sample_id(shard, name) == id_ else None


class Listed(Struct, frozen=True):
    """A sample as its shard lists it."""

    name: str  # within its shard; with the shard it makes the id
    place: str = ""  # where in the shard it stands, as the source spells it; "": the name says all


class Chunk(Struct, frozen=True, omit_defaults=True):
    """A run of samples of one shard; what a feeder claims."""

    id: str  # unique within the job
    dataset: str
    shard: str
    names: tuple[str, ...]  # the samples, by their names within the shard, in order
    sampling: SamplingKeys = UNSET  # over that of the stages, for these samples
    places: tuple[str, ...] = ()  # one for each name, where the source gives any
    fingerprint: str = ""  # of the shard when it was planned; "": nobody knows

    @property
    def count(self) -> int:
        """How many samples the chunk names."""
        return len(self.names)

    def ids(self) -> list[str]:
        """Spell the ids of the samples, in order."""
        return [sample_id(self.shard, name) for name in self.names]

    def listed(self, cursor: int = 0) -> list[Listed]:
        """Give the samples from the cursor on as the source listed them."""
        places = self.places or ("",) * len(self.names)
        return [Listed(*pair) for pair in zip(self.names[cursor:], places[cursor:], strict=True)]


class ChunkLease(Struct, frozen=True):
    """A claimed chunk, ours while we renew it."""

    entry: EntryId
    chunk: Chunk
    cursor: int  # samples of the chunk already offered
    attempt: int  # 1 on the first delivery


class Reference(Struct, frozen=True, omit_defaults=True):
    """Where a worker can read an image itself."""

    url: str  # http:// or https://; or a path below the hub's endpoint
    start: int | None = None  # first byte of the image; None: all that is there is the image
    length: int | None = None  # bytes of the image from there on
    hub: bool = False
    version: str = ""  # of what is there, as its server told it; "": any will do


class Picture(Struct, frozen=True):
    """What is known of an image that was looked at, as it goes to the engine."""

    width: int  # pixels, upright
    height: int
    format: str  # "jpeg", "png", …
    bytes: int  # length, encoded
    sha256: str  # hex digest, encoded
    read: str = ""  # hex digest of what was read; other settings make it smaller otherwise


class Sample(Struct, frozen=True):
    """One image and its columns, without the pixels."""

    id: str  # unique within the data set
    dataset: str
    shard: str
    chunk: str
    source: str  # path or URL of the image
    width: int = 0  # pixels, of the image as fed, upright
    height: int = 0
    format: str = ""  # "jpeg", "png", … of the image as fed
    bytes: int = 0  # length of the encoded image as fed
    sha256: str = ""  # hex digest of the encoded image as fed
    columns: Columns = field(default_factory=dict)
    sampling: SamplingKeys = UNSET  # over that of the stages
    reference: Reference | UnsetType = UNSET  # set: the workers read the image, and look at it

    def showing(self, picture: Picture) -> "Sample":
        """Say what is known of the image."""
        facts = asdict(picture)
        del facts["read"]
        return replace(self, **facts)


class Raw(Struct, frozen=True):
    """One sample as its source gives it, before the feeder has looked at the image."""

    id: str
    source: str
    image: bytes = b""  # encoded; may be anything, even empty
    columns: Columns = field(default_factory=dict)
    error: str = ""  # why the source could not read the image; empty when it could
    reason: str = "unreadable"  # the same in one stable word, for filters
    reference: Reference | None = None  # in the image's stead: where a worker can read it


WORKER_DIED = "worker_died"  # reason noted in advance of a sample that is tried alone


class Failure(Struct, frozen=True):
    """Why a sample is given up, or was on one of its attempts."""

    reason: str  # one stable word, for filters
    detail: str
    at: float = 0.0  # seconds since the epoch
    stage: str = ""  # empty: the feeder gave it up
    attempt: int = 0
    member: str = ""  # the process that gave it up
    own: bool = True  # it counts as an attempt; not where others may have been to blame
    contributor: str = ""  # whose worker gave it up; empty: the operator's own, or a feeder

    @property
    def by(self) -> str:
        """Say to people who gave it up."""
        if not self.stage:
            return "the feeder"
        return f"{self.member}, stage {self.stage}, attempt {self.attempt}"


def came_true(failures: Iterable[Failure], attempt: int) -> tuple[Failure, ...]:
    """Leave out what was noted in advance and did not come about, as seen from a delivery.

    A worker that was heard of again has handed the sample back, so that its delivery was not
    counted, or has said of the same one what became of it.
    """
    listed = tuple(failures)
    told = {f.attempt for f in listed if f.own and f.reason != WORKER_DIED}
    return tuple(
        f
        for f in listed
        if f.reason != WORKER_DIED or (f.attempt < attempt and f.attempt not in told)
    )


class Offer(Struct, frozen=True):
    """A sample on its way into the queue: with its image, or with the reason it has none."""

    sample: Sample
    image: bytes = b""
    failure: Failure | None = None  # set: the sample goes to the dead letters instead


class Outcome(Struct, frozen=True):
    """What one stage made of one sample, and how."""

    stage: str
    outputs: dict[str, list[str]]  # output field -> one text per prompt that gave any
    engine: str
    model: str
    prompts: str  # fingerprint of the prompts
    prompt_tokens: int
    output_tokens: int
    finish_reasons: list[str]  # one per prompt
    settings_version: int
    attempt: int
    worker: str
    contributor: str
    captioned_at: float  # seconds since the epoch, UTC
    picture: Picture | UnsetType = UNSET  # of an image that the worker read itself
    fields: Columns = field(default_factory=dict)  # read from an answer that has a form
    flags: tuple[str, ...] = ()  # checks that an output failed to the last, and was kept
    tries: int = 1  # requests of the output that took most


Outcomes: TypeAlias = tuple[Outcome, ...]


def following(order: Iterable[str], passed: Collection[str]) -> str | None:
    """Name the stage that a sample goes to: the first it has not passed; None after them all."""
    return next((stage for stage in order if stage not in passed), None)


class Lease(Struct, frozen=True):
    """A claimed sample, ours until the deadline unless renewed."""

    entry: EntryId
    stage: str
    sample: Sample
    image: EntryId  # entry of the pixels in the image stream
    attempt: int  # 1 on the first delivery
    outcomes: Outcomes = ()  # of the earlier stages, in stage order
    failures: tuple[Failure, ...] = ()  # of the earlier attempts, in their order

    @property
    def passed(self) -> tuple[str, ...]:
        """The stages that it has passed."""
        return tuple(outcome.stage for outcome in self.outcomes)

    @property
    def spent(self) -> int:
        """How many attempts of its own the sample has had before this one."""
        return len({failure.attempt for failure in self.failures if failure.own})

    @property
    def orphaned(self) -> int:
        """How many who held the sample were never heard of again."""
        told = {f.attempt for f in self.failures if f.own and f.reason != WORKER_DIED}
        return self.attempt - 1 - len(told)


class Credit(Struct, frozen=True, array_like=True):
    """What rows say that somebody has made."""

    captions: int = 0  # one for each stage of a row
    prompt_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Credit") -> "Credit":
        return Credit(*map(sum, zip(astuple(self), astuple(other), strict=True)))


# By contributor; the operator's own workers have the empty name.
Tally: TypeAlias = dict[str, Credit]


class Caption(Struct, frozen=True):
    """A finished sample, waiting for a part."""

    entry: EntryId
    sample: Sample
    outcomes: Outcomes  # one per stage, in stage order


class DeadLetter(Struct, frozen=True):
    """A sample given up, with its reason."""

    entry: EntryId
    sample: Sample
    failure: Failure
    earlier: tuple[Failure, ...] = ()  # of the attempts before the last, in their order
    outcomes: Outcomes = ()  # of the stages before that, in stage order


class Counts(Struct, frozen=True):
    """The books of a job: planned = in chunks + in flight + captioned + dead."""

    planned: int = 0  # samples named by chunks so far, but for those dropped since
    plan_done: bool = False  # the source has no more samples
    offered: int = 0  # samples that left their chunk, and did not go back to one
    completed: int = 0  # samples that left their last stage
    captioned: int = 0  # samples in a committed part
    dead: int = 0
    bytes_in_flight: int = 0  # of Redis' memory, for the samples in stages with their images
    prompt_tokens: int = 0
    output_tokens: int = 0

    @property
    def in_chunks(self) -> int:
        """Samples planned but not offered yet."""
        return self.planned - self.offered

    @property
    def in_flight(self) -> int:
        """Samples between offer and part."""
        return self.offered - self.captioned - self.dead

    @property
    def unwritten(self) -> int:
        """Finished samples that no part holds yet."""
        return self.completed - self.captioned

    @property
    def captions_done(self) -> bool:
        """Nothing is left for a worker to do, now or later."""
        return self.plan_done and self.planned == self.completed + self.dead

    @property
    def done(self) -> bool:
        """Every planned sample is in a part or a dead letter."""
        return self.plan_done and self.planned == self.captioned + self.dead
