"""Data set: captions as rows of a part, one row per sample."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from caption_flow.dataset.columns import EXTRA, ColumnSchema, arrow_type, as_json, split
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
_OWN = frozenset(name for name, _ in _LEADING + _TRAILING) | {EXTRA}

# Few different values in many rows: the only columns for which a dictionary pays.
LOW_CARDINALITY = (
    *("dataset", "shard", "chunk", "format", "prompts", "model", "engine"),
    *("worker", "contributor"),
)


def arrow_schema(agreed: ColumnSchema) -> pa.Schema:
    """Make the schema of a part: every column has its type, also where all its values are null."""
    outputs = [(name, pa.list_(pa.string())) for name in agreed.outputs]
    names = column_names(agreed)
    columns = [(names[name], arrow_type(kind)) for name, kind in agreed.columns.items()]
    return pa.schema([*_LEADING, *outputs, *_TRAILING, *columns, (EXTRA, pa.string())])


def column_names(agreed: ColumnSchema) -> dict[str, str]:
    """Name the samples' own columns in the part, apart from ours and from one another."""
    ours = _OWN.union(agreed.outputs)
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
    return pa.Table.from_pylist([_row(c, agreed, names) for c in captions], schema=schema)


def _row(caption: Caption, agreed: ColumnSchema, names: Mapping[str, str]) -> dict[str, Any]:
    sample, last = caption.sample, caption.outcomes[-1]
    fitting, extra = split(sample.columns, agreed.columns)
    row: dict[str, Any] = {names[name]: value for name, value in fitting.items()}
    for field, texts in _outputs(caption).items():
        if field in agreed.outputs:
            row[field] = texts
        else:  # of a stage that came after the columns were agreed on
            extra[f"output_{field}"] = texts
    row.update(
        id=sample.id,
        dataset=sample.dataset,
        shard=sample.shard,
        chunk=sample.chunk,
        source=sample.source,
        width=sample.width,
        height=sample.height,
        format=sample.format,
        bytes=sample.bytes,
        sha256=sample.sha256,
        prompts=last.prompts,
        model=last.model,
        engine=last.engine,
        settings_version=last.settings_version,
        prompt_tokens=sum(o.prompt_tokens for o in caption.outcomes),
        output_tokens=sum(o.output_tokens for o in caption.outcomes),
        finish_reasons=[reason for o in caption.outcomes for reason in o.finish_reasons],
        attempt=last.attempt,
        worker=last.worker,
        contributor=last.contributor or None,
        captioned_at=datetime.fromtimestamp(last.captioned_at, UTC),
        extra=as_json(extra) if extra else None,
    )
    return row


def _outputs(caption: Caption) -> dict[str, list[str]]:
    outputs: dict[str, list[str]] = {}
    for outcome in caption.outcomes:
        for field, texts in outcome.outputs.items():
            outputs[field] = outputs.get(field, []) + texts
    return outputs
