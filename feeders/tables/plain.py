"""Tables: a URL a line. Blank lines, and those that begin with #, are passed over."""

from collections.abc import Iterator, Sequence
from typing import Any

from feeders.files.port import File
from feeders.tables.lines import LONGEST, Lines, first_byte
from feeders.tables.port import BadRow

COLUMN = "url"


class PlainLines:
    """Lines as the only column."""

    complete = True
    columns: tuple[str, ...] = (COLUMN,)

    def __init__(self, file: File) -> None:
        self.begin = first_byte(file)

    def records(self, lines: Lines) -> Iterator[tuple[int, Any]]:
        """Give the lines that say something."""
        start = lines.at
        for line in lines:
            said = line.strip()
            if said and not said.startswith(b"#"):
                yield start, said
            start = lines.at

    def value(self, record: Any, column: str) -> Any:  # noqa: ARG002
        """Give the line."""
        try:
            return record.decode() if len(record) <= LONGEST else None
        except UnicodeDecodeError:
            return None

    def row(self, record: Any, columns: Sequence[str] | None) -> dict[str, Any] | BadRow:
        """Give the line under its name."""
        if len(record) > LONGEST:
            return BadRow(f"the line has more than {LONGEST:,} bytes")
        value = self.value(record, COLUMN)
        if value is None:
            return BadRow("the line is not UTF-8")
        return {} if columns == () else {COLUMN: value}
