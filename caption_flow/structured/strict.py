"""Structured: JSON text, read so that nothing in it can be taken for something else.

Python's reader takes more than is JSON, and the last of two equal keys. Numbers must be ones that
a column can hold, and text must be text in UTF-8.
"""

import json
import math
from typing import Any, NoReturn

_DEEPEST = 32
_INT64 = range(-(2**63), 2**63)
_LONGEST_NUMBER = 400  # digits


class NotStrict(ValueError):
    """Why a text is not taken."""


def read(text: str) -> Any:
    """Read JSON; raise NotStrict where it is none, or could not be kept as it is."""
    try:
        value = _reader.decode(text)
    except NotStrict:
        raise
    except json.JSONDecodeError as exc:
        raise NotStrict(f"{exc.msg} at character {exc.pos + 1}") from exc
    except RecursionError as exc:
        raise NotStrict(f"nested over {_DEEPEST} levels deep") from exc
    _look(value)
    return value


def _look(value: Any) -> None:
    """Look for what is too deep, and for text that is none."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        for each in level:
            if isinstance(each, str):
                _is_text(each)
        inner = [each for each in level if isinstance(each, list)]
        level = [item for each in level if isinstance(each, dict) for item in each.values()]
        level += [item for each in inner for item in each]
    if level:
        raise NotStrict(f"nested over {_DEEPEST} levels deep")


def _is_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise NotStrict("it holds half of a character") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise NotStrict("a key stands in it twice")
    for name in made:
        _is_text(name)
    return made


def _integer(digits: str) -> int:
    # Looked at first: Python reads long numbers slowly, or not at all.
    if len(digits) > _LONGEST_NUMBER or (number := int(digits)) not in _INT64:
        raise NotStrict("a whole number is beyond 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotStrict("a number is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is no number in JSON")


_reader = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)
