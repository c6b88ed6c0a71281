"""Data set: the rows of finished parts shard by shard, those of each in the order of their ids.

Rows lie in the parts as they were captioned, those of one shard in several parts and between those
of others. One pass over the names of shards notes which row groups hold which shard; then each
shard is put together from its own. In memory are the rows of one shard, the names of all, and a few
row groups, since the next shard mostly lies in the same ones.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.reader import Batch, Mark, Reader
from caption_flow.errors import StorageUnfit

_MOST_GROUPS = 8  # in memory beside the rows of a shard
_MOST_BYTES = 256 << 20  # of these

_Place = tuple[int, int]  # a part, and one of its row groups


class ByShard:
    """Reads what a reader reads, in another order: the part of a mark is the place of a shard."""

    def __init__(self, reader: Reader) -> None:
        """Look through the names of all rows' shards; rows without one come first.

        Raises StorageUnfit where rows have no shards.
        """
        if "shard" not in reader.schema.names:
            raise StorageUnfit(
                "The parts have no column shard, by which rows would be put together. "
                "Export them in a format that needs none."
            )
        self._reader = reader
        self.schema = reader.schema
        self.shape = reader.shape
        self._places = _places(reader)
        self.shards = tuple(sorted(self._places))

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        start: Mark | None = None,
        size: int = ROWS_PER_GROUP,
    ) -> Iterator[Batch]:
        """Read all rows from a mark on, and of these some columns."""
        start = start or Mark()
        wanted = self.schema.names if columns is None else columns
        groups = _Groups(self._reader, list(dict.fromkeys([*wanted, "id", "shard"])))
        for number in range(start.part, len(self.shards)):
            rows = _Shard(groups, self.shards[number], self._places[self.shards[number]])
            first = start.row if number == start.part else 0
            for at in range(first, rows.count, size):
                end = min(at + size, rows.count)
                yield Batch(rows.between(at, end).select(list(wanted)), Mark(number, end))
            yield Batch(rows.none().select(list(wanted)), Mark(number + 1))


class _Shard:
    """The rows of one shard."""

    def __init__(self, groups: "_Groups", shard: str, places: Sequence[_Place]) -> None:
        self._blocks = [
            found
            for place in places
            for rows in groups.get(place)
            if (found := rows.filter(pc.equal(_names(rows), shard))).num_rows
        ]
        self._none = groups.none
        ids = [rows.column("id") for rows in self._blocks]
        order = pc.sort_indices(pa.chunked_array(ids, self._none.schema.field("id").type))
        self._order = order.to_numpy()
        self._starts = np.cumsum([0, *(rows.num_rows for rows in self._blocks)])
        self.count = len(order)

    def between(self, first: int, end: int) -> pa.RecordBatch:
        """Give some rows by their order."""
        # Each block by itself: all together may have more text than one array can hold.
        wanted = self._order[first:end]
        blocks = np.searchsorted(self._starts, wanted, side="right") - 1
        taken, came = [], []
        for block in np.unique(blocks).tolist():
            chosen = np.flatnonzero(blocks == block)
            rows = wanted[chosen] - np.uint64(self._starts[block])
            taken.append(self._blocks[block].take(pa.array(rows)))
            came.append(chosen)
        table = pa.Table.from_batches(taken).combine_chunks()
        return table.take(pa.array(np.argsort(np.concatenate(came)))).to_batches()[0]

    def none(self) -> pa.RecordBatch:
        """Give no rows."""
        return self._none


class _Groups:
    """Row groups, of which the last few are kept."""

    def __init__(self, reader: Reader, columns: Sequence[str]) -> None:
        self._reader = reader
        self._columns = columns
        self._kept: OrderedDict[_Place, list[pa.RecordBatch]] = OrderedDict()
        self.none = pa.RecordBatch.from_pylist(
            [], schema=pa.schema([reader.schema.field(name) for name in columns])
        )

    def get(self, place: _Place) -> list[pa.RecordBatch]:
        """Give the rows of a group."""
        if place not in self._kept:
            part, number = place
            found = self._reader.groups(part, [number], self._columns)
            self._kept[place] = [rows for _, rows in found]
        self._kept.move_to_end(place)
        rows = self._kept[place]
        while len(self._kept) > _MOST_GROUPS or (len(self._kept) > 1 and self._too_large()):
            self._kept.popitem(last=False)
        return rows

    def _too_large(self) -> bool:
        held = sum(rows.nbytes for some in self._kept.values() for rows in some)
        return bool(held > _MOST_BYTES)


def _places(reader: Reader) -> Mapping[str, list[_Place]]:
    """Say which row groups hold rows of which shard."""
    places: dict[str, list[_Place]] = {}
    for part in range(len(reader.names)):
        for number, rows in reader.groups(part, None, ["shard"]):
            for shard in _names(rows).unique().to_pylist():
                known = places.setdefault(shard, [])
                if not known or known[-1] != (part, number):
                    known.append((part, number))
    return places


def _names(rows: pa.RecordBatch) -> Any:
    return pc.fill_null(rows.column("shard"), "")
