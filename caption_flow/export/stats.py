"""Export: what the rows of a job say when they are counted.

Batches of rows come one after another and are counted by columns, so that millions of rows are no
matter of patience. What is kept grows with the number of models, people and the like, not of rows.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from caption_flow.dataset.columns import STAGES, ColumnSchema
from caption_flow.dataset.credits import CREDITED, add, tally_of
from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.shape import is_list, is_text, is_time
from caption_flow.export.values import has_text
from caption_flow.model import Tally

_MOST_SHARDS = 100_000  # of which the names are kept, to count each once
_DEFAULT_OUTPUTS = ("captions",)

# Columns of which each value is counted, by the name that the summary has for them.
_COUNTED = {
    "datasets": "dataset",
    "models": "model",
    "engines": "engine",
    "prompts": "prompts",
    "settings_versions": "settings_version",
    "formats": "format",
    "finish_reasons": "finish_reasons",
    "quality_flags": "quality_flags",
}
_SUMMED = {
    "image_bytes": "bytes",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "output_tokens",
}
_AT = "captioned_at"
_SHARD = "shard"
_READ = frozenset({*_COUNTED.values(), *_SUMMED.values(), _AT, _SHARD, *CREDITED})


class Texts(Struct, frozen=True):
    """The texts of one column."""

    rows: int = 0  # that have at least one
    count: int = 0
    shortest: int = 0  # characters
    mean: float = 0.0
    longest: int = 0


class Summary(Struct, frozen=True):
    """What there is; of the counts by value the largest comes first."""

    rows: int = 0
    empty: int = 0  # rows without any text
    outputs: dict[str, Texts] = field(default_factory=dict)  # by column
    shards: int = 0  # that have rows
    more_shards: bool = False  # there are more of them, which nobody counted
    datasets: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    engines: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)  # by fingerprint
    settings_versions: dict[int, int] = field(default_factory=dict)  # the first one first
    stages: dict[str, int] = field(default_factory=dict)  # captions of each
    finish_reasons: dict[str, int] = field(default_factory=dict)
    quality_flags: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    contributors: Tally = field(default_factory=dict)  # the operator's own have the empty name
    image_bytes: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    first: datetime | None = None  # when a row was captioned, UTC
    last: datetime | None = None


class Stats:
    """Counts rows, batch by batch."""

    def __init__(self, outputs: Sequence[str] | None = None, fields: Sequence[str] = ()) -> None:
        """`outputs`: columns that hold captions; `fields`: those whose answers count as one, too.

        Both as an export has them that counts them, so that as many rows have none for both.
        """
        self._names = outputs  # None: as the first batch says itself
        self._fields = fields
        self._rows = self._empty = 0
        self._outputs: dict[str, _Lengths] = {}
        self._counted: dict[str, Counter[Any]] = {name: Counter() for name in _COUNTED}
        self._stages: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()
        self._tally: Tally = {}
        self._shards: set[str] = set()
        self._more_shards = False
        self._times: list[datetime] = []  # of the first and the last row

    def columns(self, schema: pa.Schema) -> list[str]:
        """Name the columns that need to be read to count all that can be counted."""
        wanted = _READ.union(self._outputs_of(schema), self._fields)
        return [name for name in schema.names if name in wanted]

    def add(self, batch: pa.RecordBatch) -> None:
        """Count some rows; what has no column is taken for nothing."""
        self._rows += batch.num_rows
        self._add_texts(batch)
        for name, column in _COUNTED.items():
            _count(self._counted[name], _column(batch, column))
        for name, column in _SUMMED.items():
            self._sums[name] += pc.sum(_column(batch, column)).as_py() or 0
        stages = _column(batch, STAGES)
        if is_list(stages.type):
            _count(self._stages, pc.struct_field(pc.list_flatten(stages), "stage"))
        add(self._tally, tally_of(batch).items())
        self._add_shards(_column(batch, _SHARD))
        self._add_times(_column(batch, _AT))

    def result(self) -> Summary:
        """Sum up what was counted so far."""
        # Any: what is counted has the type of its column.
        counted: dict[str, Any] = {name: _ranked(one) for name, one in self._counted.items()}
        counted["settings_versions"] = dict(sorted(counted["settings_versions"].items()))
        sums: dict[str, Any] = {name: self._sums[name] for name in _SUMMED}
        people = sorted(self._tally.items(), key=lambda one: (-one[1].captions, one[0]))
        return Summary(
            rows=self._rows,
            empty=self._empty,
            outputs={name: lengths.texts() for name, lengths in self._outputs.items()},
            shards=len(self._shards),
            more_shards=self._more_shards,
            stages=_ranked(self._stages),
            contributors=dict(people),
            first=min(self._times, default=None),
            last=max(self._times, default=None),
            **counted,
            **sums,
        )

    def _outputs_of(self, schema: pa.Schema) -> Sequence[str]:
        if self._names is None:
            agreed = (schema.metadata or {}).get(AGREED)
            self._names = ColumnSchema.decode(agreed).outputs if agreed else _DEFAULT_OUTPUTS
        return self._names

    def _add_texts(self, batch: pa.RecordBatch) -> None:
        some = pa.scalar(value=False)
        for name in self._outputs_of(batch.schema):
            texts = self._outputs.setdefault(name, _Lengths())
            column = _column(batch, name)
            if is_list(column.type) or is_text(column.type):
                some = pc.or_(some, texts.add(column))
        for name in self._fields:
            some = pc.or_(some, pc.is_valid(_column(batch, name)))
        self._empty += batch.num_rows - _trues(some, batch.num_rows)

    def _add_shards(self, column: Any) -> None:
        for name in pc.unique(column.drop_null()).to_pylist():
            if name in self._shards:
                continue
            if len(self._shards) == _MOST_SHARDS:
                self._more_shards = True
                return
            self._shards.add(name)

    def _add_times(self, column: Any) -> None:
        ends = pc.min_max(column).as_py() if is_time(column.type) else {}
        times = [*self._times, *(at for at in ends.values() if at is not None)]
        self._times = [min(times), max(times)] if times else []


class _Lengths(Struct):
    """How long the texts of a column are; empty ones are none."""

    rows: int = 0
    count: int = 0
    characters: int = 0
    shortest: int | None = None
    longest: int = 0

    def add(self, column: Any) -> Any:
        """Count the texts of some rows; tells of each row whether it has any."""
        each = pc.utf8_length(pc.list_flatten(column) if is_list(column.type) else column)
        lengths = each.filter(pc.greater(each, 0))
        some = has_text(column)
        self.rows += _trues(some, len(column))
        if len(lengths):
            ends = pc.min_max(lengths).as_py()
            known = ends["min"] if self.shortest is None else self.shortest
            self.count += len(lengths)
            self.characters += pc.sum(lengths).as_py()
            self.shortest = min(known, ends["min"])
            self.longest = max(self.longest, ends["max"])
        return some

    def texts(self) -> Texts:
        mean = self.characters / self.count if self.count else 0.0
        return Texts(self.rows, self.count, self.shortest or 0, mean, self.longest)


def _column(batch: pa.RecordBatch, name: str) -> Any:
    """Give a column; where it is missing, as in what somebody merged, nulls."""
    place = batch.schema.get_field_index(name)
    return batch.column(place) if place >= 0 else pa.nulls(batch.num_rows)


def _count(counter: Counter[Any], column: Any) -> None:
    values = pc.list_flatten(column) if is_list(column.type) else column
    for each in values.drop_null().value_counts().to_pylist():
        counter[each["values"]] += each["counts"]


def _trues(some: Any, rows: int) -> int:
    """Count how many rows something is true of; one scalar speaks of all of them."""
    if isinstance(some, pa.Scalar):
        return rows if some.as_py() else 0
    return int(pc.sum(some).as_py() or 0)


def _ranked(counter: Counter[Any]) -> dict[Any, int]:
    return dict(sorted(counter.items(), key=lambda one: (-one[1], str(one[0]))))
