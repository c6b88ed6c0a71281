"""Data set: small finished parts become a large one, sorted by shard and sample.

The rows are written under a hidden temporary name, as those of any part. With its final name the
new part supersedes the old ones in one step, since its file names them. These are then *retired*:
renamed, for those who listed them before, and deleted when nobody reads.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.heap import Heap
from caption_flow.dataset.locks import lock, sync
from caption_flow.dataset.merged import MERGED, is_merged, write_replaced
from caption_flow.dataset.open_part import AGREED, ROWS_PER_GROUP
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import retire
from caption_flow.dataset.rewriting import revision, revision_in
from caption_flow.dataset.rows import LOW_CARDINALITY
from caption_flow.errors import StorageBlocked, StorageUnfit

MOST_BYTES = 256 << 20  # of the rows of a merged part, before they are compressed: all in memory
MOST_PARTS = 5000  # that are merged into one
_ORDER = ("shard", "id")
_LONG = 8192  # bytes of a text, where a footer does not tell: it does of those that are not long


class Small(Struct, frozen=True, order=True):
    """A part that may be merged, by its footer."""

    part: str
    rows: int
    bytes: int  # of its rows, before they are compressed
    kind: str  # only parts of one kind have the same columns


def measure(folder: PartFolder, part: str) -> Small:
    """Measure a finished part; StorageUnfit where it cannot be read, or is none."""
    with folder.reading(part), pq.ParquetFile(folder.file(part)) as file:
        footer, schema = file.metadata, file.schema_arrow
    if not {"id", "shard"} <= set(schema.names):
        raise StorageUnfit(f"{folder.file(part)} is no part: it has no columns id and shard.")
    agreed = (schema.metadata or {}).get(AGREED, b"")
    columns = schema.to_string(show_field_metadata=False, show_schema_metadata=False)
    # One text for all parts of a kind: there may be 100,000.
    return Small(part, footer.num_rows, _unpacked(footer), sys.intern(f"{columns}\n{agreed!r}"))


def _unpacked(footer: pq.FileMetaData) -> int:
    """Estimate, rather too high, the bytes of all rows in memory."""
    return sum(
        _size(group.column(column))
        for group in map(footer.row_group, range(footer.num_row_groups))
        for column in range(group.num_columns)
    )


def _size(column: pq.ColumnChunkMetaData) -> int:
    size: int = column.total_uncompressed_size
    if not column.has_dictionary_page or column.physical_type != "BYTE_ARRAY":
        return size
    # The file has each text once, and memory has it once in each row.
    told = column.statistics
    texts: int = column.num_values - (told.null_count or 0 if told else 0)
    known = told is not None and told.has_min_max
    longest = max(len(told.min_raw), len(told.max_raw)) if known else _LONG
    return max(size, texts * longest)


def groups(smalls: Iterable[Small], rows: int) -> list[tuple[Small, ...]]:
    """Say which parts are to be merged, in the order of their names, up to so many rows each.

    Those are left alone that have half of these rows, and those that would be alone.
    """
    alike: dict[str, list[Small]] = defaultdict(list)
    for small in sorted(smalls, key=lambda small: small.part):
        if 2 * small.rows < rows and 2 * small.bytes < MOST_BYTES:
            alike[small.kind].append(small)
    made = chain.from_iterable(_filled(some, rows) for some in alike.values())
    return sorted(group for group in made if len(group) > 1)


def _filled(smalls: Iterable[Small], most: int) -> Iterator[tuple[Small, ...]]:
    """Group parts in their order, as many in each as fit."""
    group: list[Small] = []
    rows = size = 0
    for small in smalls:
        rows, size = rows + small.rows, size + small.bytes
        if rows > most or size > MOST_BYTES or len(group) == MOST_PARTS:
            yield tuple(group)
            group, rows, size = [], small.rows, small.bytes
        group.append(small)
    yield tuple(group)


class Merging:
    """A part that others are merged into, while it is made."""

    def __init__(self, folder: PartFolder, parts: Sequence[str]) -> None:
        self.parts = tuple(parts)
        self.rows = 0
        self._folder = folder
        self._seen: dict[str, str] = {}  # stamps of the files that were read
        self.name, self._file = folder.begin_merged(max(parts))

    def write(self) -> list[str]:
        """Write the rows of the parts, sorted and durably.

        Parts that cannot be read are left out of `parts`; answers what is wrong with each.
        """
        try:
            return self._write()
        except BaseException:
            with suppress(StorageBlocked):
                self.discard()
            raise

    def is_current(self) -> bool:
        """Whether the files of the parts are still those that were read."""
        with on_disk(self._folder.path):
            return all(self._stamp(part) == seen for part, seen in self._seen.items())

    def publish(self) -> None:
        """Let the part take the place of the others, and retire these."""
        self._folder.publish(self.name)
        self.close()
        retire(self._folder)

    def discard(self) -> None:
        """Give it up."""
        self._folder.delete(self.name)
        self.close()

    def close(self) -> None:
        """Leave it to whoever recovers: it may or may not be recorded."""
        with suppress(OSError):
            self._file.close()

    def _write(self) -> list[str]:
        heap, wrong = Heap(), list[str]()
        replaced: dict[str, str] = {}
        for part in self.parts:
            try:
                heap.add(self._read(part, replaced))
            except StorageUnfit as exc:
                wrong.append(str(exc))
        self.parts = tuple(self._seen)
        if self.parts:
            self._write_sorted(heap, write_replaced(replaced))
        return wrong

    def _write_sorted(self, heap: Heap, replaced: bytes) -> None:
        self.rows = heap.rows
        schema = heap.schema
        schema = schema.with_metadata((schema.metadata or {}) | {MERGED: replaced})
        with on_disk(self._folder.path):
            with pq.ParquetWriter(
                self._file, schema, compression="zstd", use_dictionary=list(LOW_CARDINALITY)
            ) as file:
                for rows in heap.sorted(_ORDER, ROWS_PER_GROUP):
                    file.write_table(rows.replace_schema_metadata(schema.metadata))
            self._file.flush()
            os.fsync(self._file.fileno())
            sync(self._folder.path)

    def _read(self, part: str, replaced: dict[str, str]) -> pa.Table:
        with self._folder.reading(part), self._folder.file(part).open("rb") as file:
            stamp = _stamp_of(os.fstat(file.fileno()))
            with pq.ParquetFile(file) as opened:
                rows = opened.read()
        replaced |= self._folder.replaced_by(part) or {}
        replaced[part] = revision_in(rows.schema)
        self._seen[part] = stamp
        return rows.replace_schema_metadata(_kept(rows.schema))

    def _stamp(self, part: str) -> str | None:
        try:
            return _stamp_of(self._folder.file(part).stat())
        except FileNotFoundError:
            return None


def _stamp_of(facts: os.stat_result) -> str:
    return f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}"


def _kept(schema: pa.Schema) -> dict[bytes, bytes]:
    """Give of a part's metadata what is true of a merged one as well."""
    metadata = schema.metadata or {}
    return {AGREED: metadata[AGREED]} if AGREED in metadata else {}


def finish(folder: PartFolder) -> None:
    """Settle the merged parts whose writer died, where no queue tells if they are recorded.

    Either way is right: their rows are in the parts that they replace, too, or in none.
    """
    with on_disk(folder.path):
        for part in filter(is_merged, folder.unpublished()):
            file = lock(folder.temporary(part))
            if file is None:
                continue
            with file:
                if _still_fits(folder, part):
                    folder.publish(part)
                else:
                    folder.delete(part)


def _still_fits(folder: PartFolder, merged: str) -> bool:
    """Whether a merged part is whole, and the others have the rows still that it has."""
    replaced = folder.replaced_by(merged) or {}
    parts = replaced.keys() & folder.look().published
    if any(revision(folder, part) != replaced[part] for part in parts):
        return False
    rows = [folder.rows_of(part) for part in parts]
    if not rows or None in rows:  # one that is torn
        return False
    whole: int = pq.read_metadata(folder.temporary(merged)).num_rows
    return whole == sum(filter(None, rows))
