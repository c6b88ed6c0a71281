"""Data set: who made the rows of a part, and of which shards they are, by the rows alone.

Counters are made of this and can always be made again. Where parts have no column `stages`, as in
a job that an earlier version began, the whole row is taken for the work of its `contributor`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caption_flow.dataset.columns import STAGES
from caption_flow.model import Credit, Tally

_ROWS = 65_536  # read at a time, for a part may be of any length
_WHOLE = {
    "contributor": pa.string(),
    "prompt_tokens": pa.int32(),
    "output_tokens": pa.int32(),
    "captioned_at": pa.timestamp("us", tz="UTC"),
}
CREDITED = frozenset({STAGES, *_WHOLE})  # columns that say who made what


def tally(file: Path) -> Tally:
    """Count what each contributor made of the rows of a part."""
    found: Tally = {}
    for made, _ in _stages(file):
        add(found, _sums(made))
    return found


def tally_of(batch: pa.RecordBatch) -> Tally:
    """Count what each contributor made of some rows."""
    return add({}, _sums(_flat(batch)[0]))


def add(found: Tally, more: Iterable[tuple[str, Credit]]) -> Tally:
    """Add credits to those of a tally, which is changed and given back."""
    for name, credit in more:
        found[name] = found.get(name, Credit()) + credit
    return found


def rows_by_shard(file: Path) -> dict[str, int]:
    """Count the rows of each shard in a part; those do not count that name none."""
    found: Counter[str] = Counter()
    with pq.ParquetFile(file) as opened:
        if "shard" not in opened.schema_arrow.names:  # as in what somebody merged
            return {}
        for batch in opened.iter_batches(_ROWS, columns=["shard"], use_threads=False):
            for each in batch.column("shard").drop_null().value_counts().to_pylist():
                found[each["values"]] += each["counts"]
    return dict(found)


def by_day(file: Path | IO[bytes], contributor: str) -> dict[str, int]:
    """Count the captions of a contributor by the day (UTC) on which they were made."""
    found: dict[str, int] = {}
    for made, _ in _stages(file):
        theirs = made.filter(_is(made, contributor)).column("captioned_at")
        days = pc.strftime(theirs, format="%Y-%m-%d").value_counts()
        for day in days.to_pylist():
            found[day["values"]] = found.get(day["values"], 0) + day["counts"]
    return found


def made_by(batch: pa.RecordBatch, contributor: str, since: float) -> Any:
    """Tell of each row whether the contributor made some of it, at that time or later."""
    made, rows = _flat(batch)
    from_then = pa.scalar(int(since * 1e6), pa.timestamp("us", tz="UTC"))
    theirs = pc.and_(
        _is(made, contributor), pc.greater_equal(made.column("captioned_at"), from_then)
    )
    touched = pc.unique(rows.filter(pc.fill_null(theirs, fill_value=False)))
    return pc.is_in(pa.array(range(batch.num_rows), rows.type), value_set=touched)


def _stages(file: Path | IO[bytes]) -> Iterator[tuple[pa.Table, Any]]:
    with pq.ParquetFile(file) as opened:
        names = opened.schema_arrow.names
        columns = [STAGES] if STAGES in names else [name for name in names if name in _WHOLE]
        for batch in opened.iter_batches(_ROWS, columns=columns, use_threads=False):
            yield _flat(batch)


def _flat(batch: pa.RecordBatch) -> tuple[pa.Table, Any]:
    """Give each stage that made something of these rows, and the row that it belongs to."""
    if STAGES in batch.schema.names:
        stages = batch.column(STAGES)
        made = pa.Table.from_struct_array(pc.list_flatten(stages))
        return made, pc.list_parent_indices(stages)
    rows = pa.array(range(batch.num_rows), pa.int64())
    # What somebody merged may lack a column.
    made = {
        name: batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, kind)
        for name, kind in _WHOLE.items()
    }
    return pa.table(made), rows


def _is(made: pa.Table, contributor: str) -> Any:
    names = pc.fill_null(made.column("contributor").cast(pa.string()), fill_value="")
    return pc.equal(names, contributor)


def _sums(made: pa.Table) -> Iterator[tuple[str, Credit]]:
    sums = [("prompt_tokens", "sum"), ("output_tokens", "sum"), ([], "count_all")]
    for row in made.group_by("contributor").aggregate(sums).to_pylist():
        tokens = (row["prompt_tokens_sum"] or 0, row["output_tokens_sum"] or 0)
        yield row["contributor"] or "", Credit(row["count_all"], *tokens)
