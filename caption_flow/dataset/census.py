"""Data set: who stands in the parts, at some 20 bytes a row, however many parts there are.

Of each row only the sample's id, shard and chunk are read, part by part, and the id is kept as its
digest.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.known import KEPT, KEPT_BYTES, Known, digest
from caption_flow.errors import CaptionFlowError

_COLUMNS = ("id", "shard", "chunk")
_WORDS = ", ".join(_COLUMNS)
_ROWS = 65_536  # read at a time, for a part may be of any length
# Rows in the order of these bytes are in the order of their ids, and of their own where these are
# the same: so they are sorted where they are, and no list of their order is needed.
_ENTRY = np.dtype([("id", KEPT), ("row", ">u4")])
_SORTED = f"S{_ENTRY.itemsize}"
_COUNTED = 1 << 20  # codes counted at a time: numpy makes larger numbers of them


class PartUnreadable(CaptionFlowError):
    """A part is damaged, or no part of ours."""


class Home(Struct, frozen=True, order=True):
    """The chunk that a sample was fed with."""

    shard: str
    chunk: str


class Double(Struct, frozen=True):
    """A sample with more than one row."""

    id: str
    parts: tuple[str, ...]  # that hold its rows; twice the same when both are in one


class Census:
    """The rows of parts: `add` each part, `close`, and then ask."""

    def __init__(self) -> None:
        self.rows = 0
        self._entries = bytearray()  # of each row
        self._codes = array("i")  # of each row's home
        self._homes: dict[Home, int] = {}  # home -> its code
        self._files: list[tuple[str, Path]] = []  # name and place of each part
        self._ends: list[int] = []  # row after the last one of each part

    def add(self, part: str, file: Path) -> None:
        """Count the rows of a part: all, or none when it cannot be read."""
        before = self.rows
        try:
            for rows in _read(file):
                self._add(rows)
        except PartUnreadable:
            del self._entries[before * _ENTRY.itemsize :], self._codes[before:]
            self.rows = before
            raise
        self._files.append((part, file))
        self._ends.append(self.rows)

    def _add(self, rows: "_Rows") -> None:
        entries = np.empty(len(rows.ids), dtype=_ENTRY)
        entries["id"] = [digest(id_)[:KEPT_BYTES] for id_ in rows.ids]
        entries["row"] = np.arange(self.rows, self.rows + len(rows.ids))
        self._entries += entries.tobytes()
        codes = [self._homes.setdefault(home, len(self._homes)) for home in rows.homes]
        self._codes.frombytes(np.array(codes, dtype=np.intc)[rows.indices].tobytes())
        self.rows += len(rows.ids)

    def close(self) -> None:
        """Put the rows in order; no part comes after this."""
        pa.default_memory_pool().release_unused()  # Arrow is done; it would keep 200 MB
        entries = np.frombuffer(self._entries, dtype=_ENTRY)
        together = entries.view(_SORTED)
        together.sort()  # of rows with the same id the oldest part's comes first
        self._known = Known.of(together)
        ordered, order = entries["id"], entries["row"]
        repeats = np.zeros(self.rows + 1, dtype=bool)  # whether a row has the id of the one before
        repeats[1 : self.rows] = ordered[1:] == ordered[:-1]
        self._repeated = order[np.flatnonzero(repeats[:-1])]
        starts = np.flatnonzero(~repeats[:-1] & repeats[1:])
        self._doubled = order[starts]
        self._repeats, self._order, self._starts = repeats, order, starts

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Keep, in order, the ids that have no row."""
        return self._known.unknown(ids)

    def captioned(self) -> dict[Home, int]:
        """Count the samples that have a row, by the home of their first."""
        all_rows = self._by_code(np.frombuffer(self._codes, dtype=np.intc))
        counts = all_rows - self._by_code(self._codes_of(self._repeated))
        return dict(zip(self._homes, counts.tolist(), strict=True))

    def doubled(self) -> dict[Home, int]:
        """Count the samples that have more than one row, by the home of their first."""
        counts = self._by_code(self._codes_of(self._doubled)).tolist()
        return {home: count for home, count in zip(self._homes, counts, strict=True) if count}

    def doubles(self, most: int) -> list[Double]:
        """Name some samples that have more than one row."""
        return list(filter(None, map(self._double, self._starts[:most].tolist())))

    def _double(self, start: int) -> Double | None:
        end = start + 1
        while self._repeats[end]:
            end += 1
        rows = self._order[start:end].tolist()
        places = np.searchsorted(self._ends, rows, side="right").tolist()
        id_ = self._id(rows[0], places[0])
        return Double(id_, tuple(self._files[place][0] for place in places)) if id_ else None

    def _id(self, row: int, place: int) -> str | None:
        first = self._ends[place - 1] if place else 0
        try:
            ids = chain.from_iterable(rows.ids for rows in _read(self._files[place][1]))
            return next(islice(ids, row - first, None), None)
        except (OSError, PartUnreadable):  # gone since
            return None

    def _codes_of(self, rows: Any) -> Any:
        return np.frombuffer(self._codes, dtype=np.intc)[rows]

    def _by_code(self, codes: Any) -> Any:
        counts = np.zeros(len(self._homes), dtype=np.int64)
        for first in range(0, len(codes), _COUNTED):
            counts += np.bincount(codes[first : first + _COUNTED], minlength=len(self._homes))
        return counts


class _Rows(Struct, frozen=True):
    """Some rows of a part."""

    ids: list[str]
    homes: list[Home]
    indices: Any  # for each row, of its home


def _read(file: Path) -> Iterator[_Rows]:
    try:
        with pq.ParquetFile(file, read_dictionary=["shard", "chunk"]) as opened:
            for batch in opened.iter_batches(_ROWS, columns=list(_COLUMNS), use_threads=False):
                if not _is_ours(batch):
                    raise PartUnreadable(f"{file} is no part: its rows lack {_WORDS}.")
                yield _rows(batch)
    except FileNotFoundError:
        raise
    except KeyError as exc:
        raise PartUnreadable(f"{file} is no part: it has no columns {_WORDS}.") from exc
    except (pa.ArrowException, OSError) as exc:  # OSError: also what Arrow says of a torn file
        raise PartUnreadable(f"{file} cannot be read: {exc}") from exc


def _is_ours(batch: pa.RecordBatch) -> bool:
    id_, shard, chunk = (batch.column(name) for name in _COLUMNS)
    texts = pa.types.is_string(id_.type) or pa.types.is_large_string(id_.type)
    named = all(pa.types.is_dictionary(column.type) for column in (shard, chunk))
    return texts and named and not any(column.null_count for column in batch.columns)


def _rows(batch: pa.RecordBatch) -> _Rows:
    """Pair the dictionaries of shards and chunks; the columns are never spelled out."""
    shard, chunk = batch.column("shard"), batch.column("chunk")
    shards, chunks = shard.dictionary.to_pylist(), chunk.dictionary.to_pylist()
    # By DLPack: `to_numpy` would import pandas, where that is installed, which takes 35 MB.
    first, second = np.from_dlpack(shard.indices), np.from_dlpack(chunk.indices)
    pairs = first.astype(np.int64) * len(chunks) + second
    distinct, indices = np.unique(pairs, return_inverse=True)
    homes = [Home(shards[p // len(chunks)], chunks[p % len(chunks)]) for p in distinct.tolist()]
    return _Rows(batch.column("id").to_pylist(), homes, indices)
