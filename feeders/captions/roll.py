"""Which shards stand where in the parts of some jobs.

A part holds samples of a few shards as a rule, and a shard stands in a few of its row groups. So
that is what is kept of all parts: which shard is in which row group. Names are read when a shard
is listed, and sorted on disk where there are many.
"""

import logging
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.source import ShardChanged, sample_name
from caption_flow.model import Listed
from feeders.captions import places
from feeders.captions.index import Index
from feeders.captions.output import Output
from feeders.captions.places import Place
from feeders.files.port import AsIO, File, FileGone
from feeders.ordered import ordered
from feeders.tables.damage import told

logger = logging.getLogger(__name__)

_BATCH = 8192  # rows decoded at a time
_KEPT_BYTES = 64 << 20  # of row groups in memory that hold several shards
_SMALL = 2 * _BATCH  # rows of a group that may be kept
_INDICES = 2  # shards; chunks of two are read at once
_NOTHING = pa.array([], pa.large_string())


class _Part(Struct, frozen=True):
    """A part as it was found."""

    folder: int
    name: str
    fingerprint: str


class _Stand(Struct, frozen=True):
    """A row group that has samples of a shard."""

    part: _Part
    group: int


class Roll:
    """All samples of some jobs, by their shards."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs
        self._lock = Lock()
        self._parts: list[_Part] | None = None  # None: nobody has looked yet
        self._tables: dict[_Part, Any] = {}
        self._shards = _NOTHING  # sorted; of each row group
        self._at: Any = None  # part and group of each, in the same order
        self._kept: OrderedDict[_Stand, Any] = OrderedDict()
        self._kept_bytes = 0
        self._told = False  # that rows are passed over
        self._looks = 0  # that found other parts than the one before
        self._indices: OrderedDict[tuple[int, str], Index] = OrderedDict()

    def refresh(self) -> None:
        """Look which parts there are by now."""
        with self._lock:
            parts = list(self._found())
            if parts != self._parts:
                self._tables = {part: self._tables.get(part) or self._of(part) for part in parts}
                self._sort(parts)
                self._parts = parts
                self._looks += 1

    def shards(self, start: str | None) -> Iterator[str]:
        """Give the shards in the order of their code points."""
        self.refresh()
        shards = self._shards
        at = bisect_left(shards, start, key=_text) if start else 0
        last = None
        for index in range(at, len(shards)):
            shard = shards[index].as_py()
            if shard != last:
                yield shard
            last = shard

    def names(self, shard: str, after: str | None) -> Iterator[Listed]:
        """List the samples of a shard in the order of their names, each once."""
        first = None if after is None else places.key(after)
        lines = (
            places.line(name, place)
            for name, place in self._all(shard)
            if first is None or places.key(name) > first
        )
        return places.listed(ordered(lines))

    def find(self, shard: str, names: Iterable[str]) -> dict[str, list[Place]]:
        """Look where some samples stand now; those in no part are left out."""
        self.refresh()
        return self._index(shard).find(names)

    def _index(self, shard: str) -> Index:
        with self._lock:
            key = (self._looks, shard)
            kept = self._indices.get(key)
        index = kept or Index(self._all(shard))
        with self._lock:
            self._indices[key] = index
            while len(self._indices) > _INDICES:
                self._indices.popitem(last=False)
        return index

    def _all(self, shard: str) -> Iterator[tuple[str, Place]]:
        """Give all rows of a shard, as they stand in the parts."""
        odd = []
        for stand in self._stands(shard):
            for id_, row in self._ids(stand, shard):
                name = sample_name(shard, id_ or "")
                if name is not None:
                    yield name, Place(stand.part.folder, stand.part.name, row)
                else:
                    odd.append(Place(stand.part.folder, stand.part.name, row))
        self._tell(shard, odd)

    def _tell(self, shard: str, odd: Sequence[Place]) -> None:
        with self._lock:
            told, self._told = self._told, self._told or bool(odd)
        if odd and not told:
            where = self._outputs[odd[0].folder].file(odd[0].part).where
            logger.warning(
                "%d rows of the shard %s are passed over, the first in %s: their ids do not begin "
                "with the shard. Rows of other shards may be, without being told",
                *(len(odd), shard, where),
            )

    def _stands(self, shard: str) -> list[_Stand]:
        if self._parts is None:
            self.refresh()
        with self._lock:
            shards, at, parts = self._shards, self._at, self._parts or []
        begin = bisect_left(shards, shard, key=_text)
        end = bisect_right(shards, shard, key=_text)
        rows = at.slice(begin, end - begin).to_pylist()
        return [_Stand(parts[row["part"]], row["group"]) for row in rows]

    def _found(self) -> Iterator[_Part]:
        for folder, output in enumerate(self._outputs):
            for name in output.parts():
                with suppress(FileGone):
                    yield _Part(folder, name, output.file(name).facts().fingerprint)

    def _of(self, part: _Part) -> pa.Table:
        """Say which shards the row groups of a part hold."""
        output = self._outputs[part.folder]
        file = output.open(part.name).file  # sees that it is a part at all
        with told(file, "Parquet"), _reading(output.file(part.name)) as opened:
            groups = range(opened.num_row_groups)
            found = [(shard, group) for group in groups for shard in _shards(opened, group)]
        shards = pa.array([shard for shard, _ in found], pa.large_string())
        return pa.table({"shard": shards, "group": pa.array([g for _, g in found], pa.int32())})

    def _sort(self, parts: Sequence[_Part]) -> None:
        tables = [
            self._tables[part].append_column("part", pa.array([at] * len(self._tables[part])))
            for at, part in enumerate(parts)
        ]
        order = [(name, "ascending") for name in ("shard", "part", "group")]
        table = pa.concat_tables(tables).sort_by(order).combine_chunks()
        self._shards = table.column("shard").chunk(0) if len(table) else _NOTHING
        self._at = table.select(["part", "group"])

    def _ids(self, stand: _Stand, shard: str) -> Iterator[tuple[str, int]]:
        """Give the ids of a shard in a row group, and the rows of the file they stand in."""
        file = self._outputs[stand.part.folder].file(stand.part.name)
        if file.facts().fingerprint != stand.part.fingerprint:
            raise ShardChanged(f"{file.where} was replaced while {shard} was looked for in it.")
        with told(file, "Parquet"):
            for first, batch in self._batches(stand, file):
                rows = pc.indices_nonzero(pc.equal(batch.column("shard"), shard))
                ids = batch.column("id").take(rows)
                for id_, row in zip(ids.to_pylist(), rows.to_pylist(), strict=True):
                    yield id_, first + row

    def _batches(self, stand: _Stand, file: File) -> Iterator[Any]:
        with self._lock:
            kept = self._kept.get(stand)
            if kept is not None:
                self._kept.move_to_end(stand)
                return iter(kept)
        with _reading(file) as opened:
            small = opened.metadata.row_group(stand.group).num_rows <= _SMALL
        batches = _decoded(file, stand.group)
        shared = small and self._holds_several(stand)
        return iter(self._keep(stand, list(batches))) if shared else batches

    def _holds_several(self, stand: _Stand) -> bool:
        """Whether a group has other shards, too, which are mostly listed next."""
        table = self._tables.get(stand.part)  # None: replaced just now
        return table is not None and table["group"].to_pylist().count(stand.group) > 1

    def _keep(self, stand: _Stand, batches: list[Any]) -> list[Any]:
        with self._lock:
            if stand not in self._kept:
                self._kept[stand] = batches
                self._kept_bytes += _size(batches)
            while self._kept_bytes > _KEPT_BYTES:
                _, dropped = self._kept.popitem(last=False)
                self._kept_bytes -= _size(dropped)
        return batches


def _size(batches: Sequence[tuple[int, pa.RecordBatch]]) -> int:
    return sum(batch.nbytes for _, batch in batches)


def _text(cell: pa.Scalar) -> str:
    text: str = cell.as_py()
    return text


def _reading(file: File) -> pq.ParquetFile:
    return pq.ParquetFile(AsIO(file), read_dictionary=["shard"])


def _shards(opened: pq.ParquetFile, group: int) -> list[str]:
    found = opened.read_row_group(group, columns=["shard"], use_threads=False).column("shard")
    shards: list[str] = pc.unique(found).drop_null().to_pylist() if len(found) else []
    return shards


def _decoded(file: File, group: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Give the batches of a group with the number of their first row in the file."""
    with _reading(file) as opened:
        footer = opened.metadata
        row = sum(footer.row_group(before).num_rows for before in range(group))
        for batch in opened.iter_batches(
            _BATCH, row_groups=[group], columns=["shard", "id"], use_threads=False
        ):
            yield row, batch
            row += batch.num_rows
