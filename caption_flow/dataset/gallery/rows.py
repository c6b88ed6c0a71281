"""Gallery: rows read out of a part, some or all, in memory that does not grow with it.

The file is opened once and told by its stamp, so that rows of one version of a part are never taken
for those of another that was put in its place.
"""

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, field

from caption_flow.dataset.columns import STAGES
from caption_flow.dataset.gallery.catalogue import file_of, stamp_of
from caption_flow.dataset.gallery.plain import plain
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.shape import Shape
from caption_flow.errors import StorageUnfit
from caption_flow.model import Sample

_BATCH = 1000  # rows that are in memory at a time, of a row group however large
_BUFFER = 1 << 18  # bytes of a column that are read at a time
_MICROSECONDS = 1_000_000  # in a second
_AT = "captioned_at"
_LISTED = (
    *("id", "dataset", "shard", "chunk", "source", "width", "height", "finish_reasons", "model"),
    *("contributor", _AT, "quality_flags"),
)
# Of who made what, without the times: to read one takes pandas, where that is installed.
WHO_MADE = tuple(f"{STAGES}.list.element.{name}" for name in ("stage", "contributor"))


class Made(Struct, frozen=True):
    """Who made what of a row."""

    stage: str
    contributor: str  # empty: the operator's own workers


class Row(Struct, frozen=True):
    """A row to be looked at."""

    part: str
    stamp: str  # of the part
    number: int  # of the row in its part
    id: str
    shard: str
    source: str
    captions: dict[str, list[str]] = field(default_factory=dict)  # by output
    stages: tuple[Made, ...] = ()
    contributor: str = ""
    flags: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()
    model: str = ""
    width: int = 0
    height: int = 0
    at: float = 0.0  # captioned, in seconds since the epoch
    dataset: str = ""
    chunk: str = ""
    account: dict[str, Any] = field(default_factory=dict)  # our other columns, where asked for
    fields: dict[str, Any] = field(default_factory=dict)  # of answers that have a form, likewise
    columns: dict[str, Any] = field(default_factory=dict)  # the sample's own, likewise

    @property
    def sample(self) -> Sample:
        """The sample, as far as its row tells what is needed to find its image."""
        return Sample(self.id, self.dataset, self.shard, self.chunk, self.source)


class Changed(Exception):
    """Another file stands where the part was, or none."""


class OpenedPart:
    """A part that is open."""

    def __init__(self, name: str, stamp: str, file: pq.ParquetFile) -> None:
        self.shape = Shape.of(file.schema_arrow)
        self._name = name
        self._stamp = stamp
        self._file = file

    def rows(self, numbers: Sequence[int], *, whole: bool = False) -> Iterator[Row]:
        """Read some rows, in ascending order; `whole`: with all their columns."""
        columns = None if whole else _listed(self.shape)
        for number, values in self._values(sorted(numbers), columns):
            yield self._row(number, values)

    def number_of(self, id_: str) -> int | None:
        """Find the row of a sample; None where it has none here."""
        at = 0
        for batch in self.batches(["id"], _BATCH):
            ids = [row["id"] for row in batch]
            if id_ in ids:
                return at + ids.index(id_)
            at += len(ids)
        return None

    def batches(self, columns: Sequence[str], size: int) -> Iterator[list[dict[str, Any]]]:
        """Read some columns of all rows; of a column in a column as well, by its path."""
        for batch in self._file.iter_batches(size, columns=list(columns), use_threads=False):
            yield batch.to_pylist()

    def _values(
        self, numbers: list[int], columns: list[str] | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        starts = [0]
        for group in range(self._file.num_row_groups):
            starts.append(starts[-1] + self._file.metadata.row_group(group).num_rows)
        inside = [number for number in numbers if number < starts[-1]]
        for group, wanted in groupby(inside, lambda number: _group(starts, number)):
            yield from self._of_group(group, starts[group], list(wanted), columns)

    def _of_group(
        self, group: int, at: int, wanted: list[int], columns: list[str] | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        batches = self._file.iter_batches(
            _BATCH, row_groups=[group], columns=columns, use_threads=False
        )
        for batch in batches:
            here = [number for number in wanted if at <= number < at + batch.num_rows]
            if here:
                chosen = batch.take(_indices([number - at for number in here]))
                yield from zip(here, _timeless(chosen).to_pylist(), strict=True)
            at += batch.num_rows
            if wanted[-1] < at:
                return

    def _row(self, number: int, values: Mapping[str, Any]) -> Row:
        told = {name: plain(value) for name, value in values.items()}
        return Row(
            part=self._name,
            stamp=self._stamp,
            number=number,
            id=str(told.get("id")),
            shard=told.get("shard") or "",
            source=told.get("source") or "",
            captions={name: _texts(told.get(name)) for name in self.shape.outputs},
            stages=tuple(_made(one) for one in values.get(STAGES) or () if one),
            contributor=told.get("contributor") or "",
            flags=tuple(_texts(told.get("quality_flags"))),
            finish=tuple(_texts(told.get("finish_reasons"))),
            model=told.get("model") or "",
            width=told.get("width") or 0,
            height=told.get("height") or 0,
            at=(told.get(_AT) or 0) / _MICROSECONDS,
            dataset=told.get("dataset") or "",
            chunk=told.get("chunk") or "",
            account=_among(told, [name for name in self.shape.ours if name not in _SHOWN]),
            fields=_among(told, self.shape.fields),
            columns=_among(told, self.shape.own),
        )


_SHOWN = frozenset(_LISTED)  # by fields of a Row of their own


@contextmanager
def opened(folder: PartFolder, name: str, stamp: str | None = None) -> Iterator[OpenedPart]:
    """Open a part; raises Changed where it is not the one of this stamp, or is gone."""
    with reading(folder, name), _file(folder, name) as file:
        found = stamp_of(os.fstat(file.fileno()))
        if stamp not in {None, found}:
            raise Changed
        with pq.ParquetFile(file, buffer_size=_BUFFER) as parquet:
            yield OpenedPart(name, found, parquet)


def _file(folder: PartFolder, name: str) -> IO[bytes]:
    try:
        return file_of(folder, name)
    except FileNotFoundError as exc:
        raise Changed from exc


@contextmanager
def reading(folder: PartFolder, name: str) -> Iterator[None]:
    """Stand around what reads a part; whatever is wrong with its file is a CaptionFlowError."""
    try:
        with folder.reading(name):
            yield
    except UnicodeDecodeError as exc:
        raise StorageUnfit(
            f"{folder.file(name)} has a text that is not UTF-8 ({exc.reason}). "
            "Put a sound copy in its place."
        ) from exc
    except _ODD as exc:
        raise StorageUnfit(
            f"{folder.file(name)} has what is no row of ours ({type(exc).__name__}: {exc}). "
            "Put a sound copy in its place."
        ) from exc


# What is raised for columns that have our names and other types, and for values that Python has
# no place for, as dates beyond the year 9999.
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)


def _listed(shape: Shape) -> list[str]:
    """Name the columns of a row in a list of many."""
    stages = WHO_MADE if STAGES in shape.ours else ()
    return [*(name for name in _LISTED if name in shape.ours), *stages, *shape.outputs]


def _among(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: told[name] for name in names if told.get(name) is not None}


def _texts(values: Any) -> list[str]:
    """List texts; parts that others wrote may have none in the place of one."""
    return [str(value) for value in values or () if value is not None]


def _made(stage: Mapping[str, Any]) -> Made:
    return Made(stage.get("stage") or "", stage.get("contributor") or "")


def _group(starts: Sequence[int], number: int) -> int:
    return next(group for group in range(len(starts) - 1) if number < starts[group + 1])


def _timeless(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Make of the time of a caption the microseconds since the epoch."""
    place = batch.schema.get_field_index(_AT)
    if place < 0:
        return batch
    times = batch.column(place).cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
    return batch.set_column(place, _AT, times)


def _indices(places: Sequence[int]) -> pa.Array:
    # pa.array() would ask pandas what they are.
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(array("q", places))])
