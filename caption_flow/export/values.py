"""Export: rows of Arrow as values that JSON can say.

A column at a time: Arrow's own way, a value at a time, takes several times as long for lists and
structs. Times become text as ISO 8601 has it, and bytes base64.
"""

import base64
from collections.abc import Callable, Collection
from functools import reduce
from itertools import pairwise
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from caption_flow.dataset.shape import is_bytes, is_list, is_text, is_time

_DEEP = 200  # brackets from which on it is tried whether JSON can be written again
_AROUND = 50  # levels that it is in then, and of our stack, at most


def rows(batch: pa.RecordBatch, json: Collection[str] = ()) -> list[dict[str, Any]]:
    """Give each row as an object; of columns in `json` the texts are JSON, and are read."""
    names = batch.schema.names
    columns = [
        [_parsed(text) for text in values(batch.column(name))]
        if name in json
        else values(batch.column(name))
        for name in names
    ]
    if not columns:
        return [{} for _ in range(batch.num_rows)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def values(array: pa.Array) -> list[Any]:
    """Give the values of a column."""
    kind = array.type
    for holds, convert in _CONVERSIONS:
        if holds(kind):
            return convert(array)
    return _any(array)


def texts(array: pa.Array) -> list[list[str]]:
    """Give the texts of a column of lists, or of one of texts; nothing is no text."""
    if is_list(array.type):
        return [[text for text in some or () if text is not None] for some in _lists(array)]
    return [[] if text is None else [text] for text in array.to_pylist()]


def has_text(array: pa.Array) -> pa.Array:
    """Tell of each row of such a column whether it has a text that is not empty."""
    if is_text(array.type):
        return pc.fill_null(pc.greater(pc.binary_length(array), 0), fill_value=False)
    filled = pc.fill_null(pc.greater(pc.binary_length(pc.list_flatten(array)), 0), fill_value=False)
    if pc.all(filled).as_py():  # mostly: then a list has one where it is not empty
        return pc.fill_null(pc.greater(pc.list_value_length(array), 0), fill_value=False)
    rows_ = pc.list_parent_indices(array).filter(filled)
    return pc.is_in(pa.array(range(len(array)), rows_.type), value_set=rows_)


def _parsed(text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = msgspec.json.decode(text)
        if text.count("[") + text.count("{") > _DEEP:
            msgspec.json.encode(reduce(lambda inner, _: [inner], range(_AROUND), value))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text  # a stranger's; better as it is than not at all
    return value


def _plain(array: pa.Array) -> list[Any]:
    return list(array.to_pylist())


def _times(array: pa.Array) -> list[Any]:
    # Through a time without a zone, which is written thirty times as fast.
    naive = array.cast(pa.int64()).cast(pa.timestamp(array.type.unit)).cast(pa.string())
    zone = "" if array.type.tz is None else "Z"
    dated = pc.replace_substring(naive, " ", "T", max_replacements=1)
    return list(pc.binary_join_element_wise(dated, zone, "").to_pylist())


def _bytes(array: pa.Array) -> list[Any]:
    return [None if one is None else base64.b64encode(one).decode() for one in array.to_pylist()]


def _lists(array: pa.Array) -> list[Any]:
    flat = values(array.values)
    ends = array.offsets.to_pylist()
    return _but_nulls(array, [flat[start:end] for start, end in pairwise(ends)])


def _structs(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [values(column) for column in array.flatten()]  # which heeds slices and nulls
    found = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return _but_nulls(array, found or [{}] * len(array))


def _but_nulls(array: pa.Array, found: list[Any]) -> list[Any]:
    if not array.null_count:
        return found
    there = array.is_valid().to_pylist()
    return [one if valid else None for one, valid in zip(found, there, strict=True)]


def _any(array: pa.Array) -> list[Any]:
    return [
        None if one is None else msgspec.to_builtins(one, str_keys=True, enc_hook=str)
        for one in array.to_pylist()
    ]


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_text(kind) or types.is_null(kind) or numbers)


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Any]]], ...] = (
    (_is_plain, _plain),
    (is_list, _lists),
    (is_time, _times),
    (pa.types.is_struct, _structs),
    (is_bytes, _bytes),
)
