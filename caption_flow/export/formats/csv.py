"""Export: CSV as spreadsheets and RFC 4180 have it.

What a cell cannot hold, as lists, is there as JSON text. In UTF-8 with a mark at the start, by
which spreadsheets know it. A text that a spreadsheet would take for a formula gets an apostrophe
before it, for it may be a stranger's; likewise one that has apostrophes and then such a beginning,
so that whoever reads it back takes one away and has the text as it was.
"""

import io
import math
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from caption_flow.dataset.shape import is_text
from caption_flow.export.ports import Rows
from caption_flow.export.values import values

_MARK = b"\xef\xbb\xbf"
# What spreadsheets run, whatever stands behind it; in the East also where it is twice as wide.
_FORMULA = "^'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"


class Cells:
    """Makes lines of cells of rows."""

    def __init__(self, schema: pa.Schema, *, exact: bool) -> None:
        """`exact`: texts stay as they are, even where a spreadsheet would run them."""
        self._names = schema.names
        self._exact = exact
        self._encoder = msgspec.json.Encoder()

    def head(self) -> bytes:
        """Name the columns."""
        names = [self._text(pa.array([name], pa.string())) for name in self._names]
        return _MARK + _lines(pa.Table.from_arrays(names, names=self._names))

    def lines(self, rows: Rows) -> bytes:
        """Write rows."""
        columns = [self._cells(column) for column in rows.table.columns]
        return _lines(pa.Table.from_arrays(columns, names=self._names))

    def _cells(self, column: pa.Array) -> pa.Array:
        if is_text(column.type):
            return self._text(column)
        if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
            return column
        cells = pa.array([self._cell(value) for value in values(column)], pa.string())
        return cells if _is_number(column.type) else self._text(cells)

    def _text(self, column: pa.Array) -> pa.Array:
        return column if self._exact else _harmless(column)

    def _cell(self, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else str(value)  # JSON has no such numbers
        return self._encoder.encode(value).decode()


def _is_number(kind: pa.DataType) -> bool:
    """Whether cells of a type begin with a minus at most, which is meant: numbers and times."""
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind))


def _harmless(texts: pa.Array) -> pa.Array:
    formulas = pc.match_substring_regex(texts, _FORMULA)
    if not pc.any(formulas).as_py():
        return texts
    mark, nothing = (pa.scalar(text, texts.type) for text in ("'", ""))
    return pc.if_else(formulas, pc.binary_join_element_wise(mark, texts, nothing), texts)


def _lines(cells: pa.Table) -> bytes:
    made = io.BytesIO()
    pa_csv.write_csv(cells, made, pa_csv.WriteOptions(include_header=False))
    return made.getvalue()
