"""Tables: Arrow IPC, as a stream or as a file, batch by batch.

Headers tell how many rows each batch has. A batch is read as a whole, so memory is that of one: a
hundred images where `datasets` wrote them.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from caption_flow.errors import SourceError
from feeders.files.port import File, FileUnreadable
from feeders.tables import cells
from feeders.tables.arrow_file import MAGIC, ArrowFile
from feeders.tables.arrow_stream import ArrowStream
from feeders.tables.columns import expect, named_once
from feeders.tables.damage import DAMAGE, told
from feeders.tables.numbering import bare_rows, first_row
from feeders.tables.port import BadRow, Place, Row

_BITS = 8  # in a byte: what a row takes at least, unless it is packed or holds nothing


class ArrowTable:
    """One file of record batches."""

    def __init__(self, file: File) -> None:
        self._file = file
        with told(file, "Arrow"):
            size = file.facts().size
            self._batches = _open(file, size)
            self.schema = self._batches.schema
            names = self.schema.names
            self._doubt(size)
        self._starts = list(accumulate(self._batches.rows, initial=0))  # of each, and the end
        self.columns = named_once(file, names)

    def rows(self, column: str | None, after: Place | None = None) -> Iterator[Row]:
        """List rows; without a column the headers have told all."""
        first = first_row(self._file, after, self._starts[-1])
        if column is None:
            yield from bare_rows(first, self._starts[-1])
            return
        expect(self._file, (column,), self.columns)
        for index in range(bisect_right(self._starts, first) - 1, len(self._batches.rows)):
            start = max(first, self._starts[index])
            found = cells.values(self._told(index, column)[start - self._starts[index] :])
            for number, value in enumerate(found, start):
                yield Row(number, "", value)

    def read(
        self, wanted: Sequence[Place], columns: Sequence[str] | None
    ) -> Iterator[dict[str, Any] | BadRow]:
        """Read rows, holding the batch that the last one was in."""
        asked = self.columns if columns is None else tuple(columns)
        expect(self._file, asked, self.columns)
        held, batch = -1, None
        for number, _ in wanted:
            if not 0 <= number < self._starts[-1]:
                yield BadRow(f"{self._file.where} has no row {number}")
                continue
            index = bisect_right(self._starts, number) - 1
            if index != held:
                batch = None  # before the next one is read
                held, batch = index, self._batch(index, asked)
            yield _row(batch, number - self._starts[index], asked)

    def _told(self, index: int, column: str) -> pa.Array:
        batch = self._batch(index, (column,))
        if isinstance(batch, BadRow):
            raise FileUnreadable(f"{batch.why}. Write it again, or take it out of the data set.")
        return batch.column(column)

    def _batch(self, index: int, columns: Sequence[str]) -> "pa.RecordBatch | BadRow":
        try:
            batch = self._batches.batch(index, columns) if columns else None
            if batch is not None:
                self._check(index, batch)
        except SourceError:
            raise
        except DAMAGE as exc:
            return BadRow(f"{self._file.where} is damaged there: {exc}")
        return batch

    def _doubt(self, size: int) -> None:
        """Look into batches that claim more rows than bytes: a damaged number would be endless."""
        for index, rows in enumerate(self._batches.rows):
            if rows > _BITS * size:
                self._check(index, self._batches.batch(index, self.schema.names))

    def _check(self, index: int, batch: pa.RecordBatch) -> None:
        # Offsets that lead out of a buffer would be read where they lead to.
        batch.validate(full=True)
        if batch.num_rows != self._batches.rows[index]:
            raise ValueError("a batch has another number of rows than its header says")


def _open(file: File, size: int) -> ArrowStream | ArrowFile:
    magic = file.read(0, min(size, len(MAGIC)))
    return ArrowFile(file, size) if magic == MAGIC else ArrowStream(file, size)


def _row(batch: Any, row: int, columns: Sequence[str]) -> dict[str, Any] | BadRow:
    if isinstance(batch, BadRow):
        return batch
    return {name: cells.value(batch.column(name)[row]) for name in columns}
