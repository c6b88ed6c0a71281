"""Tables: Parquet, read by row group, column and small batch.

Row numbers come from the footer. A row within its group is reached only by decoding those before
it, so readers that stopped in a group are kept for who goes on behind them. In memory is a page of
each column, which is what Parquet can be read by, and a small batch.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.errors import SourceError
from feeders.files.port import AsIO, File
from feeders.tables import cells
from feeders.tables.columns import expect, named_once
from feeders.tables.cursors import Cursor, Cursors
from feeders.tables.damage import DAMAGE, told
from feeders.tables.numbering import bare_rows, first_row
from feeders.tables.port import BadRow, Place, Row

BATCH_BYTES = 4 << 20  # decoded at a time, as the footer lets us guess
_MOST_ROWS = 8192  # of one batch
_LIGHT_ROWS = 256  # of one batch at least, where no column asked for can hold images
_UNKNOWN = 1 << 16  # bytes of a row of which the footer says none
_DENSE = 1000  # rows a byte; no more of them are believed without a look
_BUFFER = 1 << 18  # bytes of a column read at a time
_AT_ONCE = 16 << 20  # bytes; a group of no more is read in one go, at up to three times the speed


class ParquetTable:
    """One Parquet file."""

    def __init__(self, file: File) -> None:
        self._file = file
        with told(file, "Parquet"):
            size = file.facts().size
            opened = _open(file, size, None)
            self.schema = opened.schema_arrow
            names = self.schema.names
            self._groups = _Groups(file, size, opened)
            self._groups.doubt()
        self._footer = opened.metadata
        self.columns = named_once(file, names)
        groups = range(self._footer.num_row_groups)
        rows = (self._footer.row_group(group).num_rows for group in groups)
        self._starts = list(accumulate(rows, initial=0))  # of each group, and the end
        self._cursors = Cursors(self._groups.batches, self._groups.rows)

    def rows(self, column: str | None, after: Place | None = None) -> Iterator[Row]:
        """List rows; without a column the footer alone is asked."""
        first = first_row(self._file, after, self._starts[-1])
        if column is None:
            yield from bare_rows(first, self._starts[-1])
            return
        expect(self._file, (column,), self.columns)
        with told(self._file, "Parquet"):
            for start, batch in self._all(first, column):
                skipped = max(0, first - start)
                listed = cells.values(batch.column(column))[skipped:]
                for number, value in enumerate(listed, start + skipped):
                    yield Row(number, "", value)

    def stored(self, numbers: Sequence[int]) -> int:
        """Say how many bytes some rows take up, in proportion; of images nearly all is theirs."""
        counts = Counter(bisect_right(self._starts, number) - 1 for number in numbers)
        inside = range(self._footer.num_row_groups)
        return sum(self._share(group, counts[group]) for group in inside if counts[group])

    def read(
        self, wanted: Sequence[Place], columns: Sequence[str] | None
    ) -> Iterator[dict[str, Any] | BadRow]:
        """Read rows, going on in a group where somebody stopped before them."""
        asked = self.columns if columns is None else tuple(columns)
        expect(self._file, asked, self.columns)
        cursor: Cursor | None = None
        try:
            for number, _ in wanted:
                if not 0 <= number < self._starts[-1]:
                    yield BadRow(f"{self._file.where} has no row {number}")
                    continue
                group = bisect_right(self._starts, number) - 1
                row = number - self._starts[group]
                cursor = self._leading_to(cursor, group, row, asked)
                yield self._row(cursor, row)
        finally:
            self._cursors.keep(cursor)

    def _leading_to(
        self, cursor: Cursor | None, group: int, row: int, columns: tuple[str, ...]
    ) -> Cursor:
        if cursor is not None and cursor.leads_to(group, row):
            return cursor
        self._cursors.keep(cursor)
        return self._cursors.nearest(group, row, columns)

    def _row(self, cursor: Cursor, row: int) -> dict[str, Any] | BadRow:
        try:
            return cursor.row(row)
        except SourceError:
            cursor.broken = True
            raise
        except DAMAGE as exc:
            cursor.damage = f"{self._file.where} is damaged there: {exc}"
            return BadRow(cursor.damage)

    def _share(self, group: int, rows: int) -> int:
        # Of single columns nothing is asked: where a footer is damaged that ends the process.
        facts = self._footer.row_group(group)
        return int(facts.total_byte_size) * rows // max(1, int(facts.num_rows))

    def _all(self, first: int, column: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give the batches of one column that hold the first row or come after it."""
        for group in range(self._footer.num_row_groups):
            start, end = self._starts[group : group + 2]
            if end <= first:
                continue
            for batch in self._groups.batches(group, (column,)):
                if start + batch.num_rows > first:
                    yield start, batch
                start += batch.num_rows


class _Groups:
    """The row groups of a file. It knows no table, so that one that is let go of is closed at once.

    In a ring of references its file and batches would stay until Python looks for rings.
    """

    def __init__(self, file: File, size: int, opened: pq.ParquetFile) -> None:
        self._file = file
        self._size = size
        self._footer = opened.metadata
        self._names = opened.schema_arrow.names
        self._heavy = {field.name for field in opened.schema_arrow if _is_heavy(field.type)}

    def doubt(self) -> None:
        """Count rows where there are many more than bytes: a damaged number would be endless."""
        for group in range(self._footer.num_row_groups):
            told = self._footer.row_group(group).num_rows
            if told > _DENSE * self._size and told != self._counted(group):
                raise ValueError(f"its footer claims {told:,} rows that are not there")

    def _counted(self, group: int) -> int:
        first = self._names[:1]
        return sum(batch.num_rows for batch in self.batches(group, first)) if first else -1

    def rows(self, group: int) -> int:
        """Count the rows of a group."""
        return int(self._footer.row_group(group).num_rows)

    def batches(self, group: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Decode some columns of a group in small batches."""
        at_once = self._footer.row_group(group).total_byte_size <= _AT_ONCE
        yield from _open(self._file, self._size, self._footer, at_once=at_once).iter_batches(
            batch_size=self._batch_rows(group, columns),
            row_groups=[group],
            columns=list(columns),
            use_threads=False,
        )

    def _batch_rows(self, group: int, columns: Sequence[str]) -> int:
        # What the footer says of single columns is not asked: pyarrow 26 lets a damaged one end
        # the process.
        facts = self._footer.row_group(group)
        size = facts.total_byte_size // max(1, facts.num_rows) or _UNKNOWN
        least = 1 if any(column in self._heavy for column in columns) else _LIGHT_ROWS
        return max(least, min(_MOST_ROWS, BATCH_BYTES // max(1, size)))


def _open(file: File, size: int, footer: Any, *, at_once: bool = False) -> pq.ParquetFile:
    buffer = 0 if at_once else _BUFFER
    return pq.ParquetFile(AsIO(file, size), metadata=footer, buffer_size=buffer, pre_buffer=at_once)


def _is_heavy(kind: pa.DataType) -> bool:
    """Whether cells of a type may hold images."""
    if pa.types.is_nested(kind):
        return any(_is_heavy(kind.field(index).type) for index in range(kind.num_fields))
    light = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string)
    return not any(is_kind(kind) for is_kind in light)
