"""Data set: which columns of a part stages wrote, which the samples brought, and which are ours."""

import pyarrow as pa
from msgspec import Struct

from caption_flow.dataset.columns import EXTRA, JSON_KIND, LATER, ColumnSchema
from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.rows import OURS, column_names


class Shape(Struct, frozen=True):
    """What the columns of a part are."""

    outputs: tuple[str, ...]
    fields: tuple[str, ...]  # of answers that have a form
    own: tuple[str, ...]  # of the samples
    ours: tuple[str, ...]  # all others
    json: frozenset[str] = frozenset()  # of all these, those whose texts are JSON

    @classmethod
    def of(cls, schema: pa.Schema) -> "Shape":
        """Tell by what the sinks agreed on; where that was lost in merging, by names and types."""
        agreed = (schema.metadata or {}).get(AGREED)
        known = ColumnSchema.decode(agreed) if agreed else None
        ours = [name for name in schema.names if name in OURS or name in LATER]
        rest = [name for name in schema.names if name not in ours]
        outputs = [n for n in rest if (n in known.outputs if known else is_texts(schema, n))]
        fields = [n for n in rest if known and n in known.fields and n not in outputs]
        own = [n for n in rest if n not in outputs and n not in fields]
        texts = _json_of(known) if known else frozenset([EXTRA])
        return cls(
            tuple(outputs), tuple(fields), tuple(own), tuple(ours), texts.intersection(schema.names)
        )


def is_texts(schema: pa.Schema, name: str) -> bool:
    """Whether a column is one of lists of texts."""
    kind = schema.field(name).type
    return is_list(kind) and is_text(kind.value_type)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists, of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes, of any length."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether values of a type are moments, with or without a zone."""
    return bool(pa.types.is_timestamp(kind))


def _json_of(agreed: ColumnSchema) -> frozenset[str]:
    names = column_names(agreed)
    own = [names[name] for name, kind in agreed.columns.items() if kind == JSON_KIND]
    fields = [name for name, kind in agreed.fields.items() if kind == JSON_KIND]
    return frozenset([EXTRA, *own, *fields])
