"""Export: from the rows of the parts to those that are written."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from caption_flow.dataset.readable import Readable
from caption_flow.dataset.reader import Batch, Mark
from caption_flow.errors import ConfigError
from caption_flow.export.choice import Choice
from caption_flow.export.names import Names
from caption_flow.export.ports import ANY, Layout, Needs, Rows
from caption_flow.export.stats import Stats, Summary
from caption_flow.export.where import Condition, unknown_column


class Selection(Struct, frozen=True):
    """Which samples are meant; nothing said, all that have a caption."""

    where: Condition | None = None
    shards: tuple[str, ...] = ()  # those whose name matches one of these patterns
    limit: int | None = None  # samples
    include_empty: bool = False  # those without a caption too

    @property
    def columns(self) -> frozenset[str]:
        """What is needed of a row to tell."""
        columns = self.where.columns if self.where else frozenset[str]()
        return columns | {"shard"} if self.shards else columns

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out the rows that are not meant, but for the limit."""
        if self.shards:
            rows = rows.filter(self._in_shards(rows.column("shard")))
        if self.where is not None:
            rows = rows.filter(self.where.holds(rows))
        return rows

    def _in_shards(self, shards: pa.Array) -> pa.Array:
        wanted = [
            shard
            for shard in shards.unique().drop_null().to_pylist()
            if any(fnmatchcase(shard, pattern) for pattern in self.shards)
        ]
        return pc.is_in(shards, value_set=pa.array(wanted, shards.type))


class Step(Struct, frozen=True):
    """Rows to be written, and how far the parts were read for them."""

    rows: Rows
    mark: Mark
    samples: int  # chosen up to here
    read: int  # rows of the parts, for this step


class Flow:
    """Reads what is exported, from any mark on."""

    def __init__(
        self,
        reader: Readable,
        selection: Selection,
        choice: Choice,
        *,
        columns: Sequence[str] | None = None,
        needs: Needs = ANY,
        names: Names | None = None,
    ) -> None:
        """`columns`: those to be written; `names`: where each sample needs one.

        Raises ConfigError where a column is not there.
        """
        self._reader = reader
        self._selection = selection
        self._choice = choice
        self._needs = needs
        self._names = names
        self._read = self._needed(columns)
        self._written = self._wanted(columns)
        if selection.shards and "shard" not in reader.schema.names:
            raise ConfigError(f"--shard: {unknown_column('shard', reader.schema.names)}")
        none = pa.RecordBatch.from_pylist([], schema=self._read_schema)
        named = choice.names_of(self._read_schema.names, reader.shape)
        json = frozenset(new for name, new in named.items() if name in reader.shape.json)
        self.layout = Layout(self._made(none).schema, json, reader.shards)

    def steps(self, start: Mark, samples: int) -> Iterator[Step]:
        """Give the rows after a mark, up to which so many samples were chosen."""
        for batch, chosen in self._samples(self._read, start, samples):
            samples += chosen.num_rows
            yield Step(self._rows(chosen), batch.end, samples, batch.rows.num_rows)

    def summary(self) -> Summary:
        """Count what is exported, by the rows of the parts."""
        stats = Stats(self._choice.outputs, self._choice.fields)
        needed = {*stats.columns(self._reader.schema), *self._decisive}
        names = [name for name in self._reader.schema.names if name in needed]
        for _, chosen in self._samples(names, Mark(), 0):
            stats.add(chosen)
        return stats.result()

    def _samples(
        self, columns: Sequence[str] | None, start: Mark, count: int
    ) -> Iterator[tuple[Batch, pa.RecordBatch]]:
        """Give the samples that are meant, of each batch."""
        limit = self._selection.limit
        for batch in self._reader.batches(columns, start=start, size=self._needs.batch):
            if limit is not None and count >= limit:
                return
            chosen = self._chosen(self._selection.of(batch.rows))
            if limit is not None:
                chosen = chosen.slice(0, limit - count)
            count += chosen.num_rows
            yield batch, chosen

    def _chosen(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if self._selection.include_empty:
            return rows
        some = self._choice.some(rows)
        # Mostly all have one; to filter nothing out would copy them.
        return rows if pc.all(some).as_py() else rows.filter(some)

    def _rows(self, samples: pa.RecordBatch) -> Rows:
        table = self._made(samples)
        if not self._needs.samples:
            return Rows(table, samples.slice(0, 0))
        names = self._names.of(samples) if self._names is not None else []
        return Rows(table, samples, self._choice.texts(samples), names)

    def _made(self, samples: pa.RecordBatch) -> pa.RecordBatch:
        table = self._choice.apply(samples, self._reader.shape)
        return table if self._written is None else table.select(self._written)

    @property
    def _decisive(self) -> frozenset[str]:
        """Name the columns by which is told what is meant."""
        return self._selection.columns.union(self._choice.columns)

    @property
    def _read_schema(self) -> pa.Schema:
        whole = self._reader.schema
        names = whole.names if self._read is None else self._read
        return pa.schema([whole.field(name) for name in names])

    def _needed(self, columns: Sequence[str] | None) -> list[str] | None:
        """Name the columns to be read; None: all."""
        if columns is None:
            return None
        needed = {"id", *columns, *self._decisive}
        if self._needs.samples:
            needed.update(_SAMPLE)
        if self._names is not None:
            needed.update(self._names.columns)
        return [name for name in self._reader.schema.names if name in needed]

    def _wanted(self, columns: Sequence[str] | None) -> list[str] | None:
        """Name the columns to be written; None: all."""
        if columns is None:
            return None
        made = self._choice.apply(
            pa.RecordBatch.from_pylist([], schema=self._read_schema), self._reader.shape
        ).schema.names
        wanted = [self._choice.renamed(name, self._reader.shape) for name in columns]
        for name in wanted:
            if name not in made:
                names = [*made, *self._reader.schema.names]
                raise ConfigError(f"--columns: {unknown_column(name, list(dict.fromkeys(names)))}")
        return list(dict.fromkeys(wanted))


# By which its image is found, and how large that is, about.
_SAMPLE = ("id", "dataset", "shard", "chunk", "source", "bytes")
