"""What YAML can say and JSON cannot: the document travels as JSON."""

import math
from collections.abc import Iterator
from datetime import date
from typing import Any

from caption_flow.config.words import Mistake, Steps, is_secret, shown, wrong

_INT64 = 2**63
_DEEPEST = 50


def odd(value: Any, steps: Steps) -> Iterator[Mistake]:
    """Find what cannot travel in a value, and where."""
    if len(steps) > _DEEPEST:
        yield Mistake(steps[:3], f"is nested more than {_DEEPEST} levels deep")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                yield Mistake(steps, key_sentence(name, steps))
            else:
                yield from odd(item, (*steps, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from odd(item, (*steps, index))
    elif expected := _odd_scalar(value):
        yield wrong(steps, value, expected)


def _odd_scalar(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "a number of at most 63 bits"
    if isinstance(value, str) and not _encodable(value):
        return "text in UTF-8"
    if isinstance(value, date):
        return "text"
    return "" if isinstance(value, str | int | float | None) else "text, a number, true or false"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_sentence(name: object, steps: Steps) -> str:
    """Say that a key is none, without showing it beside secrets."""
    found = "a key (not shown)" if is_secret(steps) else f"the key {shown(name)}"
    return f"has {found} that YAML does not read as text; put it in quotes"
