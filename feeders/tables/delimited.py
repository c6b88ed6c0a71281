"""Tables: csv and tsv. The csv module finds where rows end, also those of several lines."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from feeders.files.port import File, FileUnreadable
from feeders.tables.columns import named_once
from feeders.tables.lines import LONGEST, Lines, first_byte
from feeders.tables.port import BadRow

# The module has one limit for all readers, below what a caption may need.
csv.field_size_limit(LONGEST)


class Delimited:
    """Rows of cells, the first of which names the columns."""

    complete = True

    def __init__(self, file: File, delimiter: str) -> None:
        self._where = file.where
        self._delimiter = delimiter
        lines = Lines(file, first_byte(file))
        try:
            header: Any = next((cells for _, cells in self.records(lines)), [])
            self.begin = lines.at
        finally:
            lines.close()
        self._names = _header(file, header)
        self.columns = named_once(file, [name for name in self._names if name])
        self._at = {name: self._names.index(name) for name in self.columns}

    def records(self, lines: Lines) -> Iterator[tuple[int, Any]]:
        """Give rows as lists of cells, or as what is wrong with them; blank lines are none."""
        text = _Text(lines, self._where)
        reader = csv.reader(text, delimiter=self._delimiter)
        while True:
            start = text.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                yield start, BadRow(f"the row at byte {start:,} cannot be read: {exc}")
                continue
            if text.bad:
                yield start, BadRow(f"the row at byte {start:,} is not UTF-8: convert the file")
            elif cells:
                yield start, cells

    def value(self, record: Any, column: str) -> Any:
        """Give one cell."""
        if isinstance(record, BadRow) or len(record) != len(self._names):
            return None
        return record[self._at[column]]

    def row(self, record: Any, columns: Sequence[str] | None) -> dict[str, Any] | BadRow:
        """Name the cells."""
        if isinstance(record, BadRow):
            return record
        if len(record) != len(self._names):
            return BadRow(
                f"the row has {len(record)} cells, and the header has {len(self._names)}; "
                "a cell with a separator in it must be quoted"
            )
        return {name: record[self._at[name]] for name in columns or self.columns}


class _Text:
    """Lines as text; knows of the row that the reader takes them for."""

    def __init__(self, lines: Lines, where: str) -> None:
        self._lines = lines
        self._iterator = iter(lines)
        self._where = where
        self._start = lines.at
        self.bad = False  # a line of the row is not UTF-8

    def begin(self) -> int:
        """Begin a row; answers at which byte."""
        self.bad = False
        self._start = self._lines.at
        return self._start

    def __iter__(self) -> "_Text":
        return self

    def __next__(self) -> str:
        line = next(self._iterator)
        if self._lines.at - self._start > LONGEST:
            raise FileUnreadable(
                f"{self._where} has a row at byte {self._start:,} that does not end within "
                f"{LONGEST:,} bytes. Is a quote not closed? Mend the row, or take it out."
            )
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.bad = True
            return line.decode(errors="replace")


def _header(file: File, cells: Any) -> list[str]:
    if isinstance(cells, BadRow):
        raise FileUnreadable(f"The header of {file.where} cannot be read: {cells.why}.")
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise FileUnreadable(f"{file.where} is empty. Its first line must name the columns.")
    if any(name.startswith(("http://", "https://")) for name in names):
        raise FileUnreadable(
            f"{file.where} has no header: its first line holds a URL. Put a line with the names "
            "of the columns before it, or call a bare list of URLs .txt."
        )
    return names
