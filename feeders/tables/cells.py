"""Cells of Arrow arrays as Python's own values, whatever a stranger has put in them."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feeders.tables.damage import DAMAGE


def values(array: pa.Array) -> list[Any]:
    """Give all values of an array; one that Python has no word for as text, or None."""
    try:
        found: list[Any] = array.to_pylist()
    except DAMAGE:
        # A date beyond the year 9999, nanoseconds, text that is no UTF-8: one by one.
        return [value(cell) for cell in array]
    return found


def value(cell: pa.Scalar) -> Any:
    """Give one value; what Python has no word for as text, or None."""
    try:
        return cell.as_py()
    except DAMAGE:
        pass
    try:
        return pc.cast(cell, pa.string()).as_py()
    except DAMAGE:
        return None
