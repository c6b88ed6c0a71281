"""What a table says of its columns: which hold images, and which hold numbers that stand for words.

The library `datasets` writes that as JSON into the schema; strangers may write anything there.
"""

from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

Feature: TypeAlias = Any  # JSON, as deep as the column

_KEY = b"huggingface"
_BINARY = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def features(schema: "pa.Schema | None") -> dict[str, Feature]:
    """Read what is said of each column; empty where nothing is."""
    said = (schema.metadata or {}).get(_KEY) if schema is not None else None
    try:
        found = msgspec.json.decode(said)["info"]["features"] if said else {}
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def image_columns(schema: "pa.Schema | None") -> list[str]:
    """Find the columns that hold images."""
    if schema is None:
        return []
    said = features(schema)
    named = [name for name in schema.names if _is_image(said.get(name))]
    return named or [field.name for field in schema if _may_be_image(field.type)]


def binary_columns(schema: "pa.Schema | None") -> list[str]:
    """Find the columns of which JSON can say nothing."""
    return [] if schema is None else [field.name for field in schema if _is_binary(field.type)]


def worded(value: Any, feature: Feature) -> Any:
    """Put words in the place of the numbers that stand for them."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return _word(value, feature.get("names"))
    if isinstance(value, dict) and isinstance(feature, dict):
        return {name: worded(inner, feature.get(name)) for name, inner in value.items()}
    if isinstance(value, list):
        each = _each(feature)
        return [worded(inner, each) for inner in value] if each is not None else value
    return value


def _word(value: Any, names: Any) -> Any:
    if isinstance(value, list):
        return [_word(inner, names) for inner in value]
    if not isinstance(names, list) or type(value) is not int:
        return value
    if value == -1:  # what `datasets` writes for no label
        return None
    return names[value] if 0 <= value < len(names) else value


def _each(feature: Feature) -> Feature:
    """Find what is said of the members of a list."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return feature.get("feature") if isinstance(feature, dict) else None


def _is_image(feature: Feature) -> bool:
    if isinstance(feature, dict) and feature.get("_type") == "Image":
        return True
    each = _each(feature)
    return isinstance(each, dict) and each.get("_type") == "Image"


def _may_be_image(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if not pa.types.is_struct(kind):
        return False
    try:
        members = {kind.field(at).name for at in range(kind.num_fields)}
    except UnicodeDecodeError:
        return False
    return members == {"bytes", "path"} and _is_binary(kind.field("bytes").type)


def _is_binary(kind: pa.DataType) -> bool:
    return any(of_type(kind) for of_type in _BINARY)
