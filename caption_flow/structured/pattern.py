"""Structured: patterns of the settings on texts of strangers.

Python tries one way after another to match, and a text can be made for which there are more ways
than anybody can wait for. So the ways that a pattern could have are counted first, and where there
are too many the text passes: an engine that was given the pattern has seen to it.
"""

import math
import re
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_MOST = math.log(20_000_000)  # steps: less than a second


def matches(regex: str, text: str) -> bool:
    """Whether the whole text is as the pattern says, or nobody can tell in time."""
    # To some engines a dot is any character, and what they let pass is not held against them.
    if _ways(regex, _rounded(text)) + math.log(len(text) + 1) > _MOST:
        return True
    return re.fullmatch(regex, text, re.DOTALL) is not None


def is_found(regex: str, text: str) -> bool:
    """Whether the pattern is found in the text, or nobody can tell in time."""
    if _ways(regex, _rounded(text)) + 2 * math.log(len(text) + 1) > _MOST:
        return True
    return re.search(regex, text, re.DOTALL) is not None


def _rounded(text: str) -> int:
    """Round a length up, so that few are ever asked for."""
    return 1 << len(text).bit_length()


@lru_cache(maxsize=1024)
def _ways(regex: str, length: int) -> float:
    """Bound the ways in which Python could try a pattern on a text, as a logarithm."""
    return _of_all(_parser.parse(regex, re.DOTALL), length)


def _of_all(items: Any, length: int) -> float:
    return sum(_of_one(code, given, length) for code, given in items)


def _of_one(code: Any, given: Any, length: int) -> float:
    if code in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
        low, high, body = given
        most = min(int(high), max(length, int(low)))
        return math.log(most - int(low) + 1) + most * _of_all(body, length)
    if code is op.BRANCH:
        return math.log(sum(math.exp(min(_of_all(way, length), 100)) for way in given[1]))
    if code is op.SUBPATTERN:
        return _of_all(given[3], length)
    if code is op.ATOMIC_GROUP:
        return _of_all(given, length)
    if code in {op.ASSERT, op.ASSERT_NOT}:
        return _of_all(given[1], length)
    return 0.0 if code in _SINGLE else math.inf


_SINGLE = frozenset({op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.AT, op.FAILURE})
