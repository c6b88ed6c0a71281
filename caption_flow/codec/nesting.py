"""Codec: how deep values lie within each other, told without recursion: they are strangers'."""

from collections.abc import Iterator
from typing import Any


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and mappings lie within each other over so many levels."""
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
