"""What stands in a cell, as JSON has it: these become the columns of a sample."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

_BYTES = bytes | bytearray | memoryview


def carried(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row's values into JSON types; bytes are left out."""
    return {name: jsonable(value) for name, value in row.items() if not isinstance(value, _BYTES)}


def jsonable(value: Any) -> Any:
    """Turn a value into JSON types: dates, decimals and the like become text, NaN null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return carried({str(key): inner for key, inner in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(inner) for inner in value]
    return _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, _BYTES):
        return None
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return str(value)
