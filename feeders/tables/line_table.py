"""Tables: text of one row after the other, each found again by the byte it begins at."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from caption_flow.dataset.source import ShardChanged
from feeders.files.port import File
from feeders.tables.columns import expect
from feeders.tables.lines import LONGEST, Lines
from feeders.tables.port import BadRow, Place, Row

_PASSED_OVER = 1 << 20  # bytes between two rows that are read rather than sought past


class Form(Protocol):
    """How rows are written; a record is a row as far as it must be read to find the next."""

    columns: tuple[str, ...]
    complete: bool  # no row has a column that is not among those
    begin: int  # byte of the first row

    def records(self, lines: Lines) -> Iterator[tuple[int, Any]]:
        """Give the records of some lines, each with the byte it begins at."""
        ...

    def value(self, record: Any, column: str) -> Any:
        """Give one column of a record; None where it has none or is bad."""
        ...

    def row(self, record: Any, columns: Sequence[str] | None) -> dict[str, Any] | BadRow:
        """Read a record."""
        ...


class LineTable:
    """One file of lines."""

    def __init__(self, file: File, form: Form) -> None:
        self._file = file
        self._form = form
        self.columns = form.columns

    def rows(self, column: str | None, after: Place | None = None) -> Iterator[Row]:
        """List rows; reads on from the one before."""
        if column is None:
            for number, start, _ in self._after(after):
                yield Row(number, str(start), None)
            return
        if self._form.complete:
            expect(self._file, (column,), self.columns)
        value = self._form.value
        for number, start, record in self._after(after):
            yield Row(number, str(start), value(record, column))

    def read(
        self, wanted: Sequence[Place], columns: Sequence[str] | None
    ) -> Iterator[dict[str, Any] | BadRow]:
        """Read rows, seeking where they lie far from each other."""
        if self._form.complete:
            expect(self._file, columns or (), self.columns)
        missing = {number for number, place in wanted if not place}
        found = self._found(missing) if missing else {}
        starts = [_byte(place) if place else found.get(number, -1) for number, place in wanted]
        for (number, _), record in zip(wanted, self._records(starts), strict=True):
            if record is None:
                yield BadRow(f"{self._file.where} has no row {number} where it is said to be")
            else:
                yield self._form.row(record, columns)

    def _records(self, starts: Sequence[int]) -> Iterator[Any]:
        """Give the records that begin at these bytes, None where none does."""
        reading = _Reading(self._file, self._form, max(starts, default=0))
        try:
            for start in starts:
                yield reading.record(start) if start >= self._form.begin else None
        finally:
            reading.close()

    def _after(self, after: Place | None) -> Iterator[tuple[int, int, Any]]:
        known = after is not None and after[1]
        start = _byte(after[1]) if after and known else self._form.begin
        first = after[0] if after and known else 0
        lines = Lines(self._file, start)
        try:
            records = self._form.records(lines)
            if after is not None:
                self._pass(records, start, after[0] - first)
                first = after[0] + 1
            for number, (at, record) in enumerate(records, first):
                yield number, at, record
        finally:
            lines.close()

    def _pass(self, records: Iterator[tuple[int, Any]], start: int, more: int) -> None:
        """Pass over the row at the start, and some more."""
        for passed in range(more + 1):
            at, _ = next(records, (None, None))
            if at is None or (passed == 0 and start not in {at, self._form.begin}):
                raise ShardChanged(f"A row that was planned of {self._file.where} is not there.")

    def _found(self, numbers: set[int]) -> dict[int, int]:
        """Look rows up by their numbers, from the first one on."""
        found: dict[int, int] = {}
        last = max(numbers)
        for number, start, _ in self._after(None):
            if number in numbers:
                found[number] = start
            if number >= last:
                break
        return found


class _Reading:
    """Lines that are read on to the next row wanted, or opened anew where that is far."""

    def __init__(self, file: File, form: Form, last: int) -> None:
        self._file = file
        self._form = form
        self._last = last
        self._size = file.facts().size
        self._lines: Lines | None = None
        self._records: Iterator[tuple[int, Any]] = iter(())

    def record(self, start: int) -> Any:
        """Give the record that begins at this byte; None if none does."""
        if start >= self._size:
            return None
        if self._lines is None or not 0 <= start - self._lines.at <= _PASSED_OVER:
            self._open(start)
        for at, record in self._records:
            if at >= start:
                return record if at == start else None
        return None

    def close(self) -> None:
        """Let go of the lines."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _open(self, start: int) -> None:
        self.close()
        self._lines = Lines(self._file, start, min(self._size, self._last + LONGEST + 1))
        self._records = self._form.records(self._lines)


def _byte(place: str) -> int:
    """Read a place that a stranger may have written; -1 is none."""
    return int(place) if place.isascii() and place.isdigit() and len(place) < 20 else -1  # noqa: PLR2004
