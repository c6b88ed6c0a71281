"""Export: what the terms of a condition come to, worked out by Arrow for many rows at once.

A term is an array of values, one for each row, or a value that holds for all of them.
"""

import ast
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from caption_flow.dataset.shape import is_list, is_text, is_time

Value: TypeAlias = Any  # an Arrow array, or a value that holds for all rows


def _checked(work: Callable[..., Value]) -> Callable[..., Value]:
    """Reckon with whole numbers of 64 bits, and refuse what they cannot hold."""

    def reckoned(*values: Value) -> Value:
        try:
            return work(*map(_wide, values))
        except pa.ArrowInvalid as exc:
            if "overflow" not in str(exc):
                raise
            raise ValueError(
                "a whole number gets larger than 64 bits. Reckon with decimals: width * 1.0 …"
            ) from exc

    return reckoned


SUMS: Mapping[type, Callable[[Value, Value], Value]] = {
    ast.Add: _checked(pc.add_checked),
    ast.Sub: _checked(pc.subtract_checked),
    ast.Mult: _checked(pc.multiply_checked),
    ast.Div: lambda left, right: pc.divide(_real(left), _real(right)),
}
negative: Callable[[Value], Value] = _checked(pc.negate_checked)


def _equal(left: Value, right: Value) -> Value:
    if right is None:
        return _is(left, right)
    return _settled(pc.equal(*_alike(left, right)), null=False)


def _unequal(left: Value, right: Value) -> Value:
    return inverted(_equal(left, right))


def _ordered(compare: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    return lambda left, right: _settled(compare(*_alike(left, right)), null=False)


def _inside(left: Value, right: Value) -> Value:
    """Find a value among some, a text in a text, or a text among those of each row."""
    if isinstance(right, list):
        return _among(left, right)
    if _has_lists(right):
        each = left.take(pc.list_parent_indices(right)) if isinstance(left, pa.Array) else left
        return _any_of(right, lambda flat: pc.equal(flat, each))
    return contains(right, left)


def _among(left: Value, some: list[Value]) -> Value:
    """Find a value among some; nothing is among none, as it equals nothing."""
    if not isinstance(left, pa.Array):
        return left is not None and left in some
    if not is_time(left.type):
        return pc.is_in(left, value_set=pa.array(some, left.type), skip_nulls=True)
    found: Value = False
    for one in some:
        if one is not None:
            found = pc.or_(found, _equal(left, one))
    return found


def _is(left: Value, right: Value) -> Value:
    if right is not None:
        raise TypeError('"is" goes with None only; "==" compares')
    return pc.is_null(left) if isinstance(left, pa.Array) else left is None


def _not(compare: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    return lambda left, right: inverted(compare(left, right))


COMPARED: Mapping[type, Callable[[Value, Value], Value]] = {
    ast.Eq: _equal,
    ast.NotEq: _unequal,
    ast.Lt: _ordered(pc.less),
    ast.LtE: _ordered(pc.less_equal),
    ast.Gt: _ordered(pc.greater),
    ast.GtE: _ordered(pc.greater_equal),
    ast.In: _inside,
    ast.NotIn: _not(_inside),
    ast.Is: _is,
    ast.IsNot: _not(_is),
}


def contains(texts: Value, part: str) -> Value:
    """Whether a text has this in it; of several, whether one of them has."""
    _check_text(part)
    return _of_texts(texts, lambda flat: pc.match_substring(flat, part))


def matches(texts: Value, pattern: str) -> Value:
    """Whether a regular expression (RE2) is found in a text; of several, in one of them."""
    _check_text(pattern)
    pc.match_substring_regex("", pattern)  # or a bad one would be found only where there are texts
    return _of_texts(texts, lambda flat: pc.match_substring_regex(flat, pattern))


def length(value: Value) -> Value:
    """How many characters a text has, or how many texts there are; 0 where there is nothing."""
    count = pc.list_value_length if _has_lists(value) else pc.utf8_length
    return pc.fill_null(count(value), 0)


def lower(texts: Value) -> Value:
    """A text in small letters."""
    return pc.utf8_lower(texts)


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "contains": contains,
    "matches": matches,
    "len": length,
    "lower": lower,
}


def _check_text(part: Value) -> None:
    if not isinstance(part, str):
        raise TypeError("what is looked for in a text must be a text in quotes")


def _of_texts(texts: Value, find: Callable[[Value], Value]) -> Value:
    if _has_lists(texts):
        return _any_of(texts, find)
    return _settled(find(texts), null=False)


def _any_of(lists: Value, find: Callable[[Value], Value]) -> Value:
    flat = pc.list_flatten(lists)
    rows = pc.list_parent_indices(lists).filter(_settled(find(flat), null=False))
    return pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=rows.cast(pa.int64()))


def _alike(left: Value, right: Value) -> tuple[Value, Value]:
    """Let a text stand for a time where it is compared with times."""
    for one, other in ((left, right), (right, left)):
        if isinstance(other, str) and isinstance(one, pa.Array) and is_time(one.type):
            moment = _moment(other, one.type)
            return (one, moment) if one is left else (moment, one)
    return left, right


def _moment(text: str, kind: pa.DataType) -> pa.Scalar:
    """Read a time, to be compared with those of a type; UTC, unless it says otherwise."""
    when = datetime.fromisoformat(text)
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    naive = aware.astimezone(UTC).replace(tzinfo=None)
    # Microseconds, whatever the column has: seconds alone would cut it, and Arrow takes the finer.
    return pa.scalar(naive if kind.tz is None else aware, pa.timestamp("us", tz=kind.tz))


def _settled(found: Value, *, null: bool) -> Value:
    """Say what a comparison with nothing comes to."""
    return pc.fill_null(found, null) if isinstance(found, pa.Array | pa.Scalar) else found


def truth(value: Value) -> Value:
    """Take a value for a condition, as Python does: nothing, no texts and 0 are false."""
    if not isinstance(value, pa.Array):
        return bool(value)
    kind = value.type
    if pa.types.is_boolean(kind):
        return _settled(value, null=False)
    if _has_lists(value) or is_text(kind):
        return pc.greater(length(value), 0)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _settled(pc.not_equal(value, 0), null=False)
    return pc.is_valid(value)


def inverted(value: Value) -> Value:
    """Say of a condition that it does not hold."""
    return pc.invert(value) if isinstance(value, pa.Array | pa.Scalar) else not value


def _real(value: Value) -> Value:
    return value.cast(pa.float64()) if isinstance(value, pa.Array) else float(value)


def _wide(value: Value) -> Value:
    """Let whole numbers have 64 bits."""
    whole = isinstance(value, pa.Array) and pa.types.is_integer(value.type)
    return value.cast(pa.int64()) if whole else value


def _has_lists(value: Value) -> bool:
    return isinstance(value, pa.Array) and is_list(value.type)
