"""Export: the types of columns, as a card of the hub spells them.

They are what the library `datasets` would find in the files; from the card, it and the hub know
them without reading any.
"""

from typing import Any

import pyarrow as pa

_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as the hub stores images


def features(schema: pa.Schema) -> list[dict[str, Any]] | None:
    """Spell the types of all columns; None where there is one that the hub has no word for."""
    if any(_is_strange(one.type) for one in schema):
        return None
    return [_field(one) for one in schema]


def is_image(kind: pa.DataType) -> bool:
    """Whether a column holds images."""
    return bool(kind == _IMAGE)


def _field(column: pa.Field) -> dict[str, Any]:
    return {"name": column.name, **_described(column.type)}


def _described(kind: pa.DataType) -> dict[str, Any]:
    if is_image(kind):
        return {"dtype": "image"}
    if pa.types.is_struct(kind):
        return {"struct": [_field(one) for one in kind]}
    if pa.types.is_large_list(kind):
        return {"large_list": _item(kind.value_type)}
    if pa.types.is_fixed_size_list(kind):
        return {"list": _item(kind.value_type), "length": kind.list_size}
    if pa.types.is_list(kind):
        return {"list": _item(kind.value_type)}
    plain = str(kind.value_type if pa.types.is_dictionary(kind) else kind)
    return {"dtype": _NAMES.get(plain, plain)}


def _item(kind: pa.DataType) -> Any:
    """Spell what a list is of, short where it is a plain type or a struct."""
    found = _described(kind)
    return next(iter(found.values())) if found.keys() <= {"dtype", "struct"} else found


def _is_strange(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_map(kind) or types.is_union(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_is_strange(kind.field(at).type) for at in range(kind.num_fields))
