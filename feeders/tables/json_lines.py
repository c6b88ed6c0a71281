"""Tables: a JSON object a line."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from feeders.files.port import File
from feeders.tables.lines import LONGEST, Lines, first_byte
from feeders.tables.port import BadRow

_LOOKED_AT = 100  # rows that tell the columns


class JsonLines:
    """Objects; each may have keys of its own."""

    complete = False

    def __init__(self, file: File) -> None:
        self.begin = first_byte(file)
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        lines = Lines(file, self.begin)
        try:
            found = (self.row(line, None) for _, line in islice(self.records(lines), _LOOKED_AT))
            self.columns = tuple(dict.fromkeys(k for r in found if isinstance(r, dict) for k in r))
        finally:
            lines.close()

    def records(self, lines: Lines) -> Iterator[tuple[int, Any]]:
        """Give the lines that are not blank."""
        start = lines.at
        for line in lines:
            if not line.isspace():
                yield start, line
            start = lines.at

    def value(self, record: Any, column: str) -> Any:
        """Give what stands under one key, without looking at the others."""
        try:
            return self._decoder(column).decode(record).value
        except (msgspec.DecodeError, ValueError, RecursionError):
            row = self.row(record, None)
            return None if isinstance(row, BadRow) else row.get(column)

    def row(self, record: Any, columns: Sequence[str] | None) -> dict[str, Any] | BadRow:
        """Decode an object."""
        if len(record) > LONGEST:
            return BadRow(f"the line has more than {LONGEST:,} bytes")
        try:
            row = _decode(record)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            return BadRow(f"the line is no JSON: {exc}")
        if not isinstance(row, dict):
            return BadRow("the line is no JSON object")
        return row if columns is None else {name: row.get(name) for name in columns}

    def _decoder(self, column: str) -> "msgspec.json.Decoder[Any]":
        if column not in self._decoders:
            value = ("value", Any, msgspec.field(name=column, default=None))
            self._decoders[column] = msgspec.json.Decoder(msgspec.defstruct("Cell", [value]))
        return self._decoders[column]


def _decode(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return json.loads(line)  # knows NaN, which some write
