"""Braces in paths and URLs, as a shell expands them: {000..127}, {a,b}, {0..8..2}."""

import re
from collections.abc import Iterator
from itertools import islice

from caption_flow.errors import ConfigError

MOST = 1_000_000  # files that one path may stand for

_NUMBERS = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(-?\d{1,9}))?")
_LETTERS = re.compile(r"([a-zA-Z])\.\.([a-zA-Z])")


def expand(text: str, most: int = MOST) -> list[str]:
    """Give all that a text with braces stands for, in its order."""
    found = list(islice(_expand(text), most + 1))
    if len(found) > most:
        raise ConfigError(f"The path {text} stands for more than {most:,} files. Name fewer.")
    return found


def _expand(text: str) -> Iterator[str]:
    for start, end in _groups(text):
        choices = _choices(text[start + 1 : end])
        if choices is not None:
            for choice in choices:
                for inner in _expand(choice):
                    for rest in _expand(text[end + 1 :]):
                        yield text[:start] + inner + rest
            return
    yield text


def _groups(text: str) -> Iterator[tuple[int, int]]:
    for start, char in enumerate(text):
        if char == "{" and (end := _closing(text, start)) is not None:
            yield start, end


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return None


def _choices(inside: str) -> "Iterator[str] | list[str] | None":
    """Give what one pair of braces offers; None where they are meant as braces."""
    if match := _NUMBERS.fullmatch(inside):
        return _numbers(match)
    if match := _LETTERS.fullmatch(inside):
        first, last = ord(match[1]), ord(match[2])
        return [chr(code) for code in _range(first, last, 1)]
    parts = _split(inside)
    return parts if len(parts) > 1 else None


def _numbers(match: re.Match[str]) -> Iterator[str]:
    padded = any(re.match(r"-?0\d", text) for text in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    for number in _range(int(match[1]), int(match[2]), int(match[3] or 1)):
        yield f"{number:0{width}d}"


def _range(first: int, last: int, step: int) -> range:
    stride = abs(step) or 1
    return range(first, last + 1, stride) if first <= last else range(first, last - 1, -stride)


def _split(inside: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for at, char in enumerate(inside):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(inside[begin:at])
            begin = at + 1
    return [*parts, inside[begin:]]
