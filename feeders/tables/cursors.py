"""Readers within row groups that stopped somewhere, for who goes on behind them."""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, TypeAlias

import pyarrow as pa

from feeders.tables import cells
from feeders.tables.port import BadRow

MOST = 4  # kept; each holds one decoded batch

Batches: TypeAlias = Callable[[int, Sequence[str]], Iterator[pa.RecordBatch]]


class Cursor:
    """One reader in one row group; rows are had from the batch it holds on."""

    def __init__(
        self, group: int, columns: tuple[str, ...], batches: Iterator[pa.RecordBatch], rows: int
    ) -> None:
        self.group = group
        self.spent = False  # it has given the last row of its group
        self._rows = rows  # of the group
        self.columns = columns
        self.start = 0  # of the batch, within the group
        self.damage = ""  # what it met; behind that it reads nothing
        self.broken = False  # what it reads from did not answer
        self._batches = batches
        self._end = 0  # of the batch
        self._arrays: list[pa.Array] = []

    def leads_to(self, group: int, row: int) -> bool:
        """Whether the row is in the batch or behind it."""
        return self.group == group and self.start <= row

    def row(self, row: int) -> dict[str, Any] | BadRow:
        """Give a row, decoding on to where it is."""
        if self.damage:
            return BadRow(self.damage)
        if not self.columns:
            return {}
        while row >= self._end:
            self._go_on()
        self.spent = row == self._rows - 1
        at = row - self.start
        return {
            name: cells.value(array[at])
            for name, array in zip(self.columns, self._arrays, strict=True)
        }

    def _go_on(self) -> None:
        self._arrays = []  # before the next ones are decoded
        self.start = self._end
        batch = next(self._batches, None)
        if batch is None:
            raise ValueError("it has fewer rows than it says")
        self._end += batch.num_rows
        self._arrays = [batch.column(name) for name in self.columns]


class Cursors:
    """A few readers, those used last."""

    def __init__(self, batches: Batches, rows: Callable[[int], int]) -> None:
        self._batches = batches
        self._rows = rows  # of a group
        self._lock = Lock()
        self._kept: list[Cursor] = []

    def nearest(self, group: int, row: int, columns: tuple[str, ...]) -> Cursor:
        """Take out the reader nearest before a row, or begin with the row's group."""
        with self._lock:
            fit = [c for c in self._kept if c.columns == columns and c.leads_to(group, row)]
            if fit:
                best = max(fit, key=lambda cursor: cursor.start)
                self._kept.remove(best)
                return best
        return Cursor(group, columns, self._batches(group, columns), self._rows(group))

    def keep(self, cursor: Cursor | None) -> None:
        """Keep a reader that has more to give, and let go of the one kept longest."""
        if cursor is not None and not cursor.broken and not cursor.spent:
            with self._lock:
                self._kept = [*self._kept, cursor][-MOST:]
