"""Data set: captions as rows of a part, one row per sample."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import pyarrow as pa

from caption_flow.dataset.columns import (
    EXTRA,
    LATER,
    STAGE,
    STAGES,
    ColumnSchema,
    arrow_type,
    as_json,
    split,
)
from caption_flow.model import Caption

_LEADING: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("dataset", pa.string()),
    ("shard", pa.string()),
    ("chunk", pa.string()),
    ("source", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("format", pa.string()),
    ("bytes", pa.int64()),
    ("sha256", pa.string()),
)
_TRAILING: tuple[tuple[str, pa.DataType], ...] = (
    ("prompts", pa.string()),
    ("model", pa.string()),
    ("engine", pa.string()),
    ("settings_version", pa.int32()),
    ("prompt_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    ("finish_reasons", pa.list_(pa.string())),
    ("attempt", pa.int32()),
    ("worker", pa.string()),
    ("contributor", pa.string()),
    ("captioned_at", pa.timestamp("us", tz="UTC")),
)
_NOTHING_TO_SAY: tuple[Any, ...] = ([], 1)  # no check failed; one try was enough
# Names that every part has for columns of ours.
OURS = frozenset(name for name, _ in _LEADING + _TRAILING) | {EXTRA}

# Few different values in many rows: the only columns for which a dictionary pays.
LOW_CARDINALITY = (
    *("dataset", "shard", "chunk", "format", "prompts", "model", "engine"),
    *("worker", "contributor"),
    *("stages.list.element.stage", "stages.list.element.contributor"),
)


def arrow_schema(agreed: ColumnSchema) -> pa.Schema:
    """Make the schema of a part: every column has its type, also where all its values are null."""
    outputs = [(name, pa.list_(pa.string())) for name in agreed.outputs]
    fields = [(name, arrow_type(kind)) for name, kind in agreed.fields.items()]
    later = [(name, LATER[name]) for name in agreed.later]
    names = column_names(agreed)
    columns = [(names[name], arrow_type(kind)) for name, kind in agreed.columns.items()]
    ours = [*_LEADING, *outputs, *fields, *_TRAILING, *later]
    return pa.schema([*ours, *columns, (EXTRA, pa.string())])


def column_names(agreed: ColumnSchema) -> dict[str, str]:
    """Name the samples' own columns in the part, apart from ours and from one another."""
    ours = OURS.union(agreed.outputs, agreed.fields, agreed.later)
    names = {name: name for name in agreed.columns if name not in ours}
    taken = {*ours, *names}
    for clashing in sorted(ours.intersection(agreed.columns)):
        name = f"column_{clashing}"
        while name in taken:
            name = f"column_{name}"
        names[clashing] = name
        taken.add(name)
    return names


def table(captions: Sequence[Caption], agreed: ColumnSchema, schema: pa.Schema) -> pa.Table:
    """Make rows of captions."""
    names = column_names(agreed)
    rows = pa.Table.from_pylist([_row(c, agreed, names) for c in captions], schema=schema)
    if STAGES not in agreed.later:  # then a row is taken for the work of who made the last
        return rows
    place = schema.get_field_index(STAGES)
    return rows.set_column(place, schema.field(place), _stages(captions))


def _stages(captions: Sequence[Caption]) -> pa.Array:
    """Say who made what; by columns, since rows of lists of structs take three times as long."""
    made = [outcome for caption in captions for outcome in caption.outcomes]
    columns: tuple[list[Any], ...] = (
        [outcome.stage for outcome in made],
        [outcome.contributor or None for outcome in made],
        [outcome.prompt_tokens for outcome in made],
        [outcome.output_tokens for outcome in made],
        [datetime.fromtimestamp(outcome.captioned_at, UTC) for outcome in made],
    )
    arrays = [pa.array(each, kind.type) for each, kind in zip(columns, STAGE, strict=True)]
    ends = [0, *accumulate(len(caption.outcomes) for caption in captions)]
    stages = pa.StructArray.from_arrays(arrays, fields=list(STAGE))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), stages)


def _row(caption: Caption, agreed: ColumnSchema, names: Mapping[str, str]) -> dict[str, Any]:
    own, extra = split(caption.sample.columns, agreed.columns)
    row = {names[name]: value for name, value in own.items()}
    fields, others = split(_fields(caption), agreed.fields)
    row |= fields
    for name, value in others.items():
        _keep(extra, f"field_{name}", value)
    for name, texts in _outputs(caption).items():
        if name in agreed.outputs:
            row[name] = texts
        else:  # of a stage that came after the columns were agreed on
            _keep(extra, f"output_{name}", texts)
    for name, value in _quality(caption).items():
        if name in agreed.later:
            row[name] = value
        elif value not in _NOTHING_TO_SAY:
            _keep(extra, name, value)
    row |= _account(caption)
    row[EXTRA] = as_json(extra) if extra else None
    return row


def _keep(extra: dict[str, Any], name: str, value: Any) -> None:
    """Put in what has no column, under a name that no column of the sample has there."""
    while name in extra:
        name = f"_{name}"
    extra[name] = value


def _account(caption: Caption) -> dict[str, Any]:
    """Say what the sample is, and how its captions were made."""
    sample, last = caption.sample, caption.outcomes[-1]
    return {
        "id": sample.id,
        "dataset": sample.dataset,
        "shard": sample.shard,
        "chunk": sample.chunk,
        "source": sample.source,
        "width": sample.width,
        "height": sample.height,
        "format": sample.format,
        "bytes": sample.bytes,
        "sha256": sample.sha256,
        "prompts": last.prompts,
        "model": last.model,
        "engine": last.engine,
        "settings_version": last.settings_version,
        "prompt_tokens": sum(o.prompt_tokens for o in caption.outcomes),
        "output_tokens": sum(o.output_tokens for o in caption.outcomes),
        "finish_reasons": [reason for o in caption.outcomes for reason in o.finish_reasons],
        "attempt": last.attempt,
        "worker": last.worker,
        "contributor": last.contributor or None,
        "captioned_at": datetime.fromtimestamp(last.captioned_at, UTC),
    }


def _quality(caption: Caption) -> dict[str, Any]:
    return {
        "quality_flags": [f"{o.stage}:{flag}" for o in caption.outcomes for flag in o.flags],
        "attempts": max(outcome.tries for outcome in caption.outcomes),
    }


def _fields(caption: Caption) -> dict[str, Any]:
    return {name: value for o in caption.outcomes for name, value in o.fields.items()}


def _outputs(caption: Caption) -> dict[str, list[str]]:
    outputs: dict[str, list[str]] = {}
    for outcome in caption.outcomes:
        for field, texts in outcome.outputs.items():
            outputs[field] = outputs.get(field, []) + texts
    return outputs
