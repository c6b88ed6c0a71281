"""Data set: rows of parts that have not quite the same columns, as rows that do.

All parts of a job have the same; those that were put together from several jobs may not.
"""

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import pyarrow as pa

from caption_flow.dataset.columns import EXTRA, ColumnSchema
from caption_flow.dataset.open_part import AGREED
from caption_flow.errors import StorageUnfit


def unified(schemas: Iterable[tuple[Path, pa.Schema]]) -> pa.Schema:
    """Find the columns of all parts together, in the order in which they come up, `extra` last.

    What a part has by numbers, as categories of pandas, has the type of what they stand for. Raises
    StorageUnfit where a column has types in two parts that no type holds both of.
    """
    whole: pa.Schema | None = None
    known: list[pa.Schema] = []  # those that were seen; most often there is one
    for path, schema in schemas:
        if any(schema.equals(one) and _told(schema) == _told(one) for one in known):
            continue
        known.append(schema)
        plain = _plain(schema)
        whole = plain if whole is None else _together(whole, plain, path)
    if whole is None:
        return pa.schema([])
    last = [whole.field(name) for name in whole.names if name == EXTRA]
    return pa.schema([*(one for one in whole if one.name != EXTRA), *last], _agreed(known))


def conform(rows: pa.RecordBatch, wanted: pa.Schema, path: Path) -> pa.RecordBatch:
    """Give rows these columns; what a part lacks is null."""
    if rows.schema.equals(wanted):
        return rows
    arrays = []
    for field in wanted:
        if field.name not in rows.schema.names:
            arrays.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows.column(field.name)
        try:
            arrays.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as exc:
            raise StorageUnfit(
                f"{path}: the column {field.name} is of the type {column.type}, and does not fit "
                f"that of the other parts, {field.type} ({exc}). Export them apart."
            ) from exc
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _plain(schema: pa.Schema) -> pa.Schema:
    fields = [one.with_type(_spelled_out(one.type)) for one in schema]
    return pa.schema(fields, schema.metadata)


def _spelled_out(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _together(whole: pa.Schema, schema: pa.Schema, path: Path) -> pa.Schema:
    try:
        return pa.unify_schemas([whole, schema], promote_options="permissive")
    except pa.ArrowException as exc:
        raise StorageUnfit(
            f"{path} has columns of other types than the parts before it ({exc}). "
            "Export them apart."
        ) from exc


def _agreed(schemas: Iterable[pa.Schema]) -> dict[bytes, bytes]:
    """Put together what the sinks of each job agreed on; nothing, where that was lost."""
    told = [ColumnSchema.decode(text) for text in map(_told, schemas) if text is not None]
    return {AGREED: reduce(ColumnSchema.together, told).encode()} if told else {}


def _told(schema: pa.Schema) -> bytes | None:
    text: bytes | None = (schema.metadata or {}).get(AGREED)
    return text
