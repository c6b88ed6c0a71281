"""Data set: which Arrow type each of the samples' own columns has, in every part alike.

Readers want the same schema in all files of a data set, and a sample's columns come from anywhere.
So the columns of the first rows set the types for the job; what does not fit them later is kept
in the column `extra`, as JSON, and nothing is lost.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct, field

EXTRA = "extra"
JSON_KIND = "json"  # any value, as JSON text

_ARROW: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
    "list<double>": pa.list_(pa.float64()),
    "list<bool>": pa.list_(pa.bool_()),
    JSON_KIND: pa.string(),
}
_SCALARS = {bool: "bool", int: "int64", float: "double", str: "string"}
_INT64 = range(-(2**63), 2**63)
_EXACT = range(-(2**53), 2**53 + 1)  # integers that a double holds as they are


# Who made what of a row: its columns `contributor`, `worker`, … are those of the last stage.
STAGES = "stages"
STAGE = pa.struct(
    [
        ("stage", pa.string()),
        ("contributor", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("captioned_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Columns of ours that came later than the others: a job begun before goes on without them.
LATER: Mapping[str, pa.DataType] = {
    "quality_flags": pa.list_(pa.string()),
    "attempts": pa.int32(),
    STAGES: pa.list_(STAGE),
}


class ColumnSchema(Struct, frozen=True):
    """What the sinks of a job agreed on: what stages write, and columns that samples bring."""

    outputs: tuple[str, ...]  # each becomes a list<string>
    columns: dict[str, str] = field(default_factory=dict)  # name -> kind, a key of the Arrow types
    fields: dict[str, str] = field(default_factory=dict)  # of answers that have a form; likewise
    later: tuple[str, ...] = ()  # of LATER, those that the parts have

    def together(self, other: "ColumnSchema") -> "ColumnSchema":
        """Say what is in the parts of two jobs; texts are JSON only where they are so in both."""
        return ColumnSchema(
            tuple(dict.fromkeys((*self.outputs, *other.outputs))),
            _kinds(self.columns, other.columns),
            _kinds(self.fields, other.fields),
            tuple(dict.fromkeys((*self.later, *other.later))),
        )

    def encode(self) -> bytes:
        """Write as JSON, the same bytes for the same schema."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def decode(cls, text: bytes) -> "ColumnSchema":
        """Read what `encode` wrote."""
        return msgspec.json.decode(text, type=cls)


def _kinds(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    clashing = {name for name, kind in one.items() if other.get(name, kind) != kind}
    return {**one, **other} | dict.fromkeys(clashing, "string")


def infer(
    outputs: Iterable[str],
    samples: Iterable[Mapping[str, Any]],
    fields: Mapping[str, str] | None = None,
) -> ColumnSchema:
    """Find the kinds that hold all the given samples' columns; nulls say nothing."""
    kinds: dict[str, str] = {}
    for columns in samples:
        for name, value in columns.items():
            kind = kind_of(value)
            if kind is not None:
                kinds[name] = _merge(kinds.get(name, kind), kind)
    return ColumnSchema(tuple(outputs), kinds, dict(fields or {}), tuple(LATER))


def kind_of(value: Any) -> str | None:
    """Name the kind of a JSON value; None for null and for an empty list."""
    if value is None or value == []:
        return None
    return _kind_of_list(value) if isinstance(value, list) else _kind_of_one(value)


def _kind_of_one(value: Any) -> str:
    kind = _SCALARS.get(type(value), JSON_KIND)
    return JSON_KIND if kind == "int64" and value not in _INT64 else kind


def _kind_of_list(values: list[Any]) -> str:
    # A list in a list is JSON, whatever is in it: a stranger may nest them a thousand deep.
    kinds = {_kind_of_one(value) for value in values if value is not None}
    if kinds == {"int64", "double"}:
        return "list<double>"
    if len(kinds) == 1 and kinds != {JSON_KIND}:
        return f"list<{kinds.pop()}>"
    return JSON_KIND


def _merge(one: str, other: str) -> str:
    if one == other:
        return one
    for narrow, wide in (("int64", "double"), ("list<int64>", "list<double>")):
        if {one, other} == {narrow, wide}:
            return wide
    return JSON_KIND


def arrow_type(kind: str) -> pa.DataType:
    """Look up the Arrow type of a kind."""
    return _ARROW[kind]


def split(
    columns: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part columns, of a sample or an answer, into those that fit their kind and the others."""
    fitting: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in columns.items():
        if value is None:
            continue
        kind = kinds.get(name)
        if kind == JSON_KIND:
            fitting[name] = as_json(value)
        elif kind is not None and _fits(value, kind):
            fitting[name] = value
        else:
            extra[name] = value
    return fitting, extra


def _fits(value: Any, kind: str) -> bool:
    if value == [] and isinstance(value, list):
        return kind.startswith("list<")
    own = kind_of(value)
    if own is None or _merge(own, kind) != kind:
        return False
    return "double" not in kind or _is_exact(value)


def _is_exact(value: Any) -> bool:
    """Whether no integer is changed where all become doubles."""
    values = value if isinstance(value, list) else [value]
    return all(one in _EXACT for one in values if isinstance(one, int))


def as_json(value: Any) -> str:
    """Write any value as JSON text."""
    return msgspec.json.encode(value).decode()
