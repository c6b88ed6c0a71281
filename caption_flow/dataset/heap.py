"""Data set: rows of many tables in one order, while each of them is in memory once.

Arrow sorts and takes rows of one piece, and so would need a copy of all of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PIECE_BYTES = 16 << 20  # joined at a time: taking rows from many small pieces is slow


class Heap:
    """Rows that are collected first, and given in order then. All have the same columns."""

    def __init__(self) -> None:
        self.rows = 0
        self._pieces: list[pa.Table] = []
        self._loose: list[pa.Table] = []  # to be one of the pieces
        self._bytes = 0  # of these

    def add(self, rows: pa.Table) -> None:
        """Add some rows."""
        self.rows += rows.num_rows
        self._loose.append(rows)
        self._bytes += rows.nbytes
        if self._bytes >= PIECE_BYTES:
            self._join()

    @property
    def schema(self) -> pa.Schema:
        """The columns of all rows, once there are some tables."""
        return (self._pieces or self._loose)[0].schema

    def sorted(self, keys: Sequence[str], count: int) -> Iterator[pa.Table]:
        """Give all rows in the order of these columns, so many at a time."""
        self._join()
        named = pa.concat_tables([piece.select(keys) for piece in self._pieces]).combine_chunks()
        order = pc.sort_indices(named, sort_keys=[(key, "ascending") for key in keys]).to_numpy()
        starts = np.cumsum([0, *(piece.num_rows for piece in self._pieces)])[:-1]
        for first in range(0, self.rows, count):
            yield self._take(order[first : first + count].astype(np.int64), starts)

    def _take(self, wanted: Any, starts: Any) -> pa.Table:
        of = np.searchsorted(starts, wanted, side="right") - 1  # the piece that each row is in
        taken = [self._pieces[n].take(wanted[of == n] - starts[n]) for n in np.unique(of)]
        as_taken = np.argsort(of, kind="stable")
        return pa.concat_tables(taken).combine_chunks().take(np.argsort(as_taken))

    def _join(self) -> None:
        if self._loose:
            self._pieces.append(pa.concat_tables(self._loose).combine_chunks())
            self._loose, self._bytes = [], 0
            pa.default_memory_pool().release_unused()  # which Arrow keeps for what comes
