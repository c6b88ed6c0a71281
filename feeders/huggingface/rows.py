"""Data sets whose samples are rows: Parquet, Arrow, and tables beside image files.

A shard is a file, and a sample's name the number of its row in it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple, replace

from caption_flow.dataset.source import Listed, Raw, ShardChanged, SourceOptions, sample_id
from feeders.beneath import UnreadableError
from feeders.files.find import Files
from feeders.files.picked import Picked
from feeders.files.port import order
from feeders.huggingface.cells import MISSING, Missing, Pointed, picture
from feeders.huggingface.choice import Choice, choose, image_leaf
from feeders.huggingface.eager import settled
from feeders.huggingface.pointed import Pointers
from feeders.tables import BadRow, Opened, Place, Shelf
from feeders.tables.parquet import ParquetTable

_MOST_DIGITS = 18
_TABLES, _ROWS = 4, 32  # that are looked into when a data set is opened
_NOWHERE: Place = (-1, "")


class RowsSource:
    """The rows of some tables of a data set."""

    def __init__(self, files: Files, names: Sequence[str], options: SourceOptions) -> None:
        self.dataset = files.dataset
        self._names = sorted(names, key=order)
        self._limit = options.max_file_size
        self._options = options
        self._files = Picked(files, names)
        self._shelf = Shelf(self._files)
        self._pointers = Pointers(files, options)

    def first(self) -> tuple[Choice, Any]:
        """Look into the first tables; gives the first image that is there, unless that is bytes."""
        opened, choice = astuple(self._open(self._names[0]))
        if self._options.images != "reference" and image_leaf(opened.table, choice.image):
            return choice, None  # and need not be read
        return choice, next(self._images(choice.image), None)

    def _images(self, column: str) -> Iterator[Any]:
        """Give what stands in the first rows of the first tables, where anything does."""
        for name in self._names[:_TABLES]:
            table = self._shelf.open(name).table
            if column not in table.columns:
                return
            for row in table.read([(number, "") for number in range(_ROWS)], [column]):
                if isinstance(row, dict) and not isinstance(picture(row[column]), Missing):
                    yield row[column]

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the files in order."""
        at = bisect_left(self._names, order(start), key=order) if start else 0
        yield from self._names[at:]

    def fingerprint(self, shard: str) -> str:
        """Tell what a file holds now from what it held before."""
        return self._files.get(shard).facts().fingerprint

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """Number the rows of a file."""
        last = _place(after) if after else None
        if after and last is None:
            raise ShardChanged(f"{shard} has no row {after.name}.")
        for row in self._open(shard).opened.table.rows(None, last):
            yield Listed(str(row.number), row.place)

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Read rows of a file."""
        return settled(self._samples(shard, wanted, fingerprint))

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Say what the footer says of the images, in proportion; None where it says nothing."""
        table = self._open(shard)
        leaf = image_leaf(table.opened.table, table.choice.image)
        if leaf is None or not isinstance(table.opened.table, ParquetTable):
            return None
        return table.opened.table.stored([at[0] for at in map(_place, wanted) if at]) or None

    def _open(self, shard: str, fingerprint: str = "") -> "_Table":
        opened = self._shelf.open(shard, fingerprint)
        return _Table(opened, choose(opened.table, opened.file.where, self._options))

    def _samples(
        self, shard: str, wanted: Sequence[Listed], fingerprint: str
    ) -> Iterator[Raw | Callable[[], Raw]]:
        table = self._open(shard, fingerprint)
        places = [_place(one) or _NOWHERE for one in wanted]
        rows = table.opened.table.read(places, table.choice.asked)
        for one, row in zip(wanted, rows, strict=True):
            raw = Raw(sample_id(shard, one.name), f"{table.opened.file.where}#{one.name}")
            yield self._raw(raw, shard, table, row)

    def _raw(
        self, raw: Raw, shard: str, table: "_Table", row: dict[str, Any] | BadRow
    ) -> Raw | Callable[[], Raw]:
        if isinstance(row, BadRow):
            table.opened.check()
            return replace(raw, error=row.why, reason="bad_row")
        found = picture(row[table.choice.image])
        raw = replace(raw, columns=table.choice.columns(row))
        if isinstance(found, Missing):
            return replace(raw, error=found.why, reason=MISSING)
        if isinstance(found, Pointed):
            return lambda: self._pointed(raw, shard, found.path)
        if len(found) > self._limit:
            why = f"it has {len(found):,} bytes; the limit is {self._limit:,}"
            return replace(raw, error=why)
        return replace(raw, image=found)

    def _pointed(self, raw: Raw, shard: str, path: str) -> Raw:
        try:
            found = self._pointers.find(shard, path)
        except UnreadableError as exc:
            return replace(raw, error=str(exc))
        return replace(raw, source=found.where, image=found.image, reference=found.reference)


class _Table(Struct, frozen=True):
    opened: Opened
    choice: Choice


def _place(sample: Listed) -> Place | None:
    """Say where a sample's row is; None for a name, perhaps a stranger's, that no row has."""
    name = sample.name
    plain = name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS
    return (int(name), sample.place) if plain and str(int(name)) == name else None
