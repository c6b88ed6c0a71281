"""Audit: the nouns of its result."""

from typing import Literal, TypeAlias

from msgspec import Struct

from caption_flow.dataset.census import Double

Place: TypeAlias = Literal["waiting", "in_flight", "dead"]


class Tally(Struct, frozen=True):
    """Where the samples of a chunk, a shard or a job are. Each is counted once."""

    waiting: int = 0  # named by a chunk and not offered yet
    in_flight: int = 0  # in a stage, or captioned and waiting for a part
    captioned: int = 0  # in a part
    dead: int = 0
    missing: int = 0  # planned and nowhere
    abandoned: int = 0  # of those waiting and in flight: under a lease that ran out
    doubled: int = 0  # of those captioned: with more than one row

    @property
    def planned(self) -> int:
        """All of them."""
        return self.waiting + self.in_flight + self.captioned + self.dead + self.missing

    @property
    def balanced(self) -> bool:
        """Whether each sample is in one place."""
        return not self.missing and not self.doubled

    def __add__(self, other: "Tally") -> "Tally":
        pairs = zip(self._all(), other._all(), strict=True)
        return Tally(*(mine + theirs for mine, theirs in pairs))

    def figures(self) -> dict[str, int]:
        """All figures by name, `planned` before the others."""
        return {"planned": self.planned} | dict(
            zip(self.__struct_fields__, self._all(), strict=True)
        )

    def _all(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in self.__struct_fields__)


class Difference(Struct, frozen=True):
    """Where the books of Redis and its streams disagree."""

    what: str
    counted: int  # by the books
    found: int  # in the streams


class PartsFound(Struct, frozen=True):
    """What was found of the parts."""

    published: int
    rows: int  # of all that count, those recorded and not renamed yet among them
    writing: tuple[str, ...]  # temporary, of sinks that live
    half_published: tuple[str, ...]  # temporary, recorded or perhaps, and the writer is gone
    abandoned: tuple[str, ...]  # temporary, not recorded, and the writer is gone
    forgotten: tuple[str, ...]  # published, but the queue has not recorded them
    gone: dict[str, int]  # recorded, but not in the folder; each with its rows
    unreadable: tuple[str, ...]


class Mended(Struct, frozen=True):
    """What was mended, and what was not."""

    published: int = 0  # parts that were half-published
    deleted: int = 0  # temporary parts whose rows are in the queue
    recorded: int = 0  # published parts that the queue had forgotten
    disowned: int = 0  # leases on entries that somebody had deleted
    reissued: int = 0  # samples
    chunks: int = 0  # they were put in
    parts_forgotten: tuple[str, ...] = ()  # that were gone
    books_changed: bool = False
    left: tuple[str, ...] = ()  # sentences: what was not mended, and why


class Findings(Struct, frozen=True):
    """What the witnesses say together."""

    queue: bool  # whether Redis was heard
    source: bool  # whether the source was
    plan_done: bool  # by Redis
    chunks: dict[str, dict[str, Tally]]  # by shard and chunk, both in order
    unnamed: int  # missing samples that only the books know of
    parts: PartsFound
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]  # ids of some
    doubled: tuple[Double, ...]  # some

    @property
    def shards(self) -> dict[str, Tally]:
        """Sum up by shard."""
        return {shard: sum(chunks.values(), Tally()) for shard, chunks in self.chunks.items()}

    @property
    def totals(self) -> Tally:
        """Sum up the job."""
        return sum(self.shards.values(), Tally(missing=self.unnamed))

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing, doubled or half-published, and the books are right."""
        parts = self.parts
        wrong = (parts.half_published, parts.gone, parts.unreadable, self.differences)
        return self.totals.balanced and not any(wrong)
