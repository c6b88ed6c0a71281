"""Data set: the rows of a job's finished parts, each sample once, a batch at a time.

In the order of the parts' names. A sample that has several rows, as where data sets were merged,
is given by that of the latest settings. What is kept in memory does not grow with the rows, but for
those of samples that have several.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.conform import conform, unified
from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.part_file import Parts, footer, opened
from caption_flow.dataset.repeats import Repeats, among, words
from caption_flow.dataset.shape import Shape
from caption_flow.errors import StorageUnfit

IDS = 65_536  # that are read at a time
_RANK = ("settings_version", "captioned_at")  # of rows of one sample the highest is given


class Mark(Struct, frozen=True):
    """How far the rows were read."""

    part: int = 0  # its place among the parts
    row: int = 0  # of that part, from which on rows are to come


class Batch(Struct, frozen=True):
    """Some rows of one part."""

    rows: pa.RecordBatch
    end: Mark  # after them


See = Callable[[int, int], None]  # is told how many rows were looked through, and of how many


def _unseen(_done: int, _total: int) -> None:
    return


class Reader:
    """Reads the rows of some parts, as often as asked."""

    shards: tuple[str, ...] = ()  # rows come as they lie in the parts

    def __init__(self, parts: Parts, *, see: See = _unseen) -> None:
        """Look at all parts; `see` is told how far it is.

        Raises StorageUnfit where one cannot be read, or has columns of other types.
        """
        self._parts = parts
        self._footers = [footer(parts, name) for name in parts.names]
        self.schema = unified(
            (parts.path(name), footer.schema)
            for name, footer in zip(parts.names, self._footers, strict=True)
        )
        self.shape = Shape.of(self.schema)
        self.stored = sum(footer.rows for footer in self._footers)  # rows, repeated ones too
        self._dropped = self._find_repeated(see) if self._footers else {}

    @property
    def names(self) -> tuple[str, ...]:
        """Name the parts."""
        return self._parts.names

    @property
    def rows(self) -> int:
        """How many rows there are: samples that have one."""
        return self.stored - self.repeated

    @property
    def repeated(self) -> int:
        """How many rows are left out, since their sample has another."""
        return sum(map(len, self._dropped.values()))

    @property
    def stamps(self) -> tuple[str, ...]:
        """Tell each part from all that ever bore its name."""
        return tuple(footer.stamp for footer in self._footers)

    def lacks(self, name: str) -> bool:
        """Whether rows of a part are left out."""
        return self.names.index(name) in self._dropped

    def kept(self) -> Any:
        """Number the rows that are given, of all that the parts have; an array."""
        keep = np.ones(self.stored, dtype=bool)
        at = 0
        for place, part in enumerate(self._footers):
            if place in self._dropped:
                keep[at + self._dropped[place]] = False
            at += part.rows
        return np.flatnonzero(keep)

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        start: Mark | None = None,
        size: int = ROWS_PER_GROUP,
        parts: Collection[str] | None = None,
    ) -> Iterator[Batch]:
        """Read all rows from a mark on, or those of some parts, and of these some columns."""
        start = start or Mark()
        for place in range(start.part, len(self._footers)):
            if parts is None or self.names[place] in parts:
                first = start.row if place == start.part else 0
                yield from self._of_part(place, first, columns, size)

    def _of_part(
        self, place: int, first: int, columns: Sequence[str] | None, size: int
    ) -> Iterator[Batch]:
        path = self._path(place)
        wanted = self.schema if columns is None else _chosen(self.schema, columns)
        with self._opened(place) as file:
            groups, end = _groups_from(file.metadata, first)
            there = [name for name in wanted.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(size, row_groups=groups, columns=there):
                at, end = end, end + batch.num_rows
                rows = self._kept(place, at, first, batch)
                # Not before where it began: groups of rows are read from their start.
                yield Batch(conform(rows, wanted, path), Mark(place, max(end, first)))
        yield Batch(_none(wanted), Mark(place + 1))

    def groups(
        self, place: int, numbers: Sequence[int] | None, columns: Sequence[str] | None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read some row groups of a part, or all; each batch comes with the number of its group."""
        path = self._path(place)
        wanted = self.schema if columns is None else _chosen(self.schema, columns)
        with self._opened(place) as file:
            there = [name for name in wanted.names if name in file.schema_arrow.names]
            starts = _starts(file.metadata)
            for number in range(len(starts)) if numbers is None else numbers:
                at = starts[number]
                for batch in file.iter_batches(
                    ROWS_PER_GROUP, row_groups=[number], columns=there, use_threads=False
                ):
                    yield number, conform(self._kept(place, at, 0, batch), wanted, path)
                    at += batch.num_rows

    def _kept(self, place: int, at: int, first: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out rows before `first`, and worse ones; the first of the batch is at `at`."""
        dropped = self._dropped.get(place)
        rows = batch.slice(max(0, first - at)) if first > at else batch
        if dropped is None:
            return rows
        begin, end = np.searchsorted(dropped, [max(at, first), at + batch.num_rows])
        if begin >= end:
            return rows
        keep = np.ones(rows.num_rows, dtype=bool)
        keep[dropped[begin:end] - max(at, first)] = False
        return rows.filter(pa.array(keep))

    def _find_repeated(self, see: See) -> Mapping[int, Any]:
        """Say which rows of each part are left out, by their numbers."""
        done = 0
        with Repeats(self.stored) as repeats:
            for place in range(len(self._footers)):
                for batch in self._read(place, ["id"]):
                    repeats.add(self._ids(place, batch))
                    done += batch.num_rows
                    see(done, self.stored)
            suspects = repeats.found()
        return self._worse(suspects) if len(suspects) else {}

    def _ids(self, place: int, batch: pa.RecordBatch) -> list[str]:
        column = batch.column("id")
        if column.null_count:
            raise StorageUnfit(
                f"{self._path(place)} is no part: it has rows without an id. "
                "Move it to another folder."
            )
        return list(column.to_pylist())

    def _worse(self, suspects: Any) -> Mapping[int, Any]:
        """Compare the rows of samples that may have several; answers all but the best."""
        best: dict[str, tuple[Any, int, int]] = {}  # id -> rank, part and row
        worse: dict[int, list[int]] = {}
        for place in range(len(self._footers)):
            for row, id_, rank in self._ranks(place, suspects):
                other = best.get(id_)
                if other is not None:
                    lost = other if rank >= other[0] else (rank, place, row)
                    worse.setdefault(lost[1], []).append(lost[2])
                if other is None or rank >= other[0]:
                    best[id_] = (rank, place, row)
        return {place: np.sort(np.array(rows)) for place, rows in worse.items()}

    def _ranks(self, place: int, suspects: Any) -> Iterator[tuple[int, str, tuple[int, ...]]]:
        ranked = [name for name in _RANK if _has_order(self.schema, name)]
        at = 0
        for batch in self._read(place, ["id", *ranked]):
            ids = batch.column("id").to_pylist()
            chosen = np.flatnonzero(among(suspects, words(ids))).tolist()
            if chosen:
                ranks = [_numbers(batch.column(name)) for name in ranked]
                for row in chosen:
                    yield at + row, ids[row], tuple(numbers[row] for numbers in ranks)
            at += batch.num_rows

    def _read(self, place: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        path = self._path(place)
        with self._opened(place) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            wanted = _chosen(self.schema, columns)
            for batch in file.iter_batches(IDS, columns=there, use_threads=False):
                yield conform(batch, wanted, path)

    @contextmanager
    def _opened(self, place: int) -> Iterator[pq.ParquetFile]:
        name, seen = self._parts.names[place], self._footers[place]
        with opened(self._parts, name) as part:
            if part.stamp != seen.stamp:
                raise StorageUnfit(
                    f"{part.path} has changed while it was read, as where rows are taken back. "
                    "Run this again."
                )
            yield part.file

    def _path(self, place: int) -> Path:
        return self._parts.path(self._parts.names[place])


def _groups_from(footer: Any, first: int) -> tuple[list[int], int]:
    """Name the row groups from that of a row on; answers the number of their first row too."""
    starts = _starts(footer)
    ends = [*starts[1:], footer.num_rows]
    for group, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if first < end:
            return list(range(group, len(starts))), start
    return [], footer.num_rows


def _starts(footer: Any) -> list[int]:
    """Tell the first row of each row group."""
    rows = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    return list(accumulate(rows, initial=0))[: len(rows)]


def _chosen(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns], schema.metadata)


def _none(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _has_order(schema: pa.Schema, name: str) -> bool:
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _numbers(column: pa.Array) -> list[int]:
    """Give numbers of what has an order; nothing is the lowest."""
    numbers = column.cast(pa.int64(), safe=False).fill_null(-1)
    return list(numbers.to_pylist())
