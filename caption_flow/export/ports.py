"""Export: what a format is to whoever drives an export, as protocols."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pyarrow as pa
from msgspec import Struct, field

from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.reader import Mark

if TYPE_CHECKING:
    from caption_flow.export.draft import Draft


LEFT_OUT = "left_out"  # in a writer's state: how many samples it could not write


class Rows(Struct, frozen=True):
    """Some rows, as they are to be written."""

    table: pa.RecordBatch  # the columns that were asked for, captions as chosen
    samples: pa.RecordBatch  # as the parts have them; empty unless a format needs samples
    texts: list[list[str]] = field(default_factory=list)  # captions of each, likewise
    names: list[str] = field(default_factory=list)  # of each, where a format needs them

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def after(self, count: int) -> "Rows":
        """Leave out the first so many."""
        table, samples = self.table.slice(count), self.samples.slice(count)
        return Rows(table, samples, self.texts[count:], self.names[count:])


class Needs(Struct, frozen=True):
    """How a format takes rows."""

    samples: bool = False  # with captions and all columns of the sample; no rows of single captions
    names: Literal["no", "files", "keys"] = "no"  # keys: in a tar, where a dot ends them
    captions_only: bool = False  # not the columns: a field of an answer is no caption then
    by_shard: bool = False  # those of a shard one after another, by their ids
    batch: int = ROWS_PER_GROUP  # rows at a time, at most


ANY = Needs()  # rows as they lie in the parts


class Layout(Struct, frozen=True):
    """What the columns of rows to be written are."""

    schema: pa.Schema
    json: frozenset[str]  # those whose texts are JSON
    shards: tuple[str, ...] = ()  # all there are, in their order, where rows come by shard


class Progress(Struct, frozen=True):
    """How far an export is, for one that goes on after it was killed."""

    mark: Mark = Mark()  # up to which rows were read when
    samples: int = 0  # so many samples had been chosen of them
    rows: int = 0  # and so many rows had come of these
    settled: int = 0  # rows that are written for good, as many as `rows` or more
    state: Mapping[str, Any] = {}  # what the writer needs to go on after them
    finished: bool = False  # all are written; files may lack their final names


class Published(Struct, frozen=True):
    """What is to be said of an output beyond that it is there."""

    note: str = ""
    kept: int = 0  # samples whose files could not have their names


class Writer(Protocol):
    """Writes rows, in their order, to a draft."""

    def write(self, rows: Rows) -> None:
        """Take rows."""
        ...

    def settle(self) -> int:
        """Write for good as much as can be; answers how many rows are, from the first on."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Tell what a later writer needs to go on after what is settled; as JSON has it."""
        ...

    def finish(self) -> Mapping[str, Any]:
        """Write the rest for good, no rows come any more; answers the last state."""
        ...

    def close(self) -> None:
        """Let go of all files, finished or not."""
        ...


class Format(Protocol):
    """One output in one format."""

    needs: Needs

    @property
    def output(self) -> Path | str:
        """Say where it is when it is done, for people."""
        ...

    @property
    def draft(self) -> Path:
        """Say where the hidden folder of its draft is, on the same disk.

        Raises ConfigError where the output can never be made.
        """
        ...

    def refuse(self) -> None:
        """Raise ConfigError where something is already that must not be overwritten."""
        ...

    def writer(self, draft: "Draft", layout: Layout) -> Writer:
        """Begin to write rows, or go on after what the draft's progress says is settled."""
        ...

    def publish(self, draft: "Draft", state: Mapping[str, Any]) -> "Published":
        """Give what is drafted its final names; again, after a crash in between."""
        ...
