"""Gallery: values of any column as JSON can say them and a browser can bear them."""

import math
from typing import Any

_LONGEST = 20_000  # characters of one text
_MOST = 1000  # elements of one list
_DEEPEST = 8  # lists in lists
_EXACT = 2**53  # integers beyond are others in a browser
_CUT = "…"


def plain(value: Any, depth: int = 0) -> Any:
    """Make of a value what JSON can say, cut to a size that can be looked at."""
    if isinstance(value, list | dict):
        return _CUT if depth == _DEEPEST else _many(value, depth + 1)
    if value is None or isinstance(value, bool) or _is_exact(value):
        return value
    text = f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + _CUT


def _many(value: list[Any] | dict[str, Any], depth: int) -> Any:
    if isinstance(value, list):
        return [plain(one, depth) for one in value[:_MOST]]
    return {str(name): plain(one, depth) for name, one in value.items()}


def _is_exact(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _EXACT
