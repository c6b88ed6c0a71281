"""Proxy: how alike two captions of one image are, from 0 to 1. No I/O.

Texts are compared as bags of words, and answers that have a form by the share of values that are
equal. Both are strangers' texts: whatever they hold, comparing takes no longer than its bound.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

MOST_CHARACTERS = 10_000  # of a text; the rest is not looked at
MOST_WORDS = 1_000  # likewise
MOST_TEXTS = 16  # of an outcome

# Scripts that put no spaces between words: each character stands for itself.
_DENSE = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_DENSE}]|[^\W{_DENSE}]+")


class _Bag(NamedTuple):
    """A text, and its words as they are compared."""

    text: str
    words: Counter[str]


def agreement(
    texts: Sequence[str],
    others: Sequence[str],
    fields: Mapping[str, Any] | None = None,
    other_fields: Mapping[str, Any] | None = None,
) -> float:
    """Compare two answers of a stage; where it has fields, by those alone."""
    if fields or other_fields:
        return _equal_share(fields or {}, other_fields or {})
    return _compared(_bags(texts), _bags(others))


def likeness(text: str, other: str) -> float:
    """Compare two texts: twice the words that they share, of all words that they have."""
    return _alike(*_bags([text, other]))


def _compared(bags: Sequence[_Bag], others: Sequence[_Bag]) -> float:
    """Compare prompt by prompt; where one has fewer texts, each with that most like it."""
    if not bags or not others:
        return float(not bags and not others)
    if len(bags) == len(others):
        return sum(map(_alike, bags, others)) / len(bags)
    return (_nearest(bags, others) + _nearest(others, bags)) / 2


def _nearest(bags: Sequence[_Bag], others: Sequence[_Bag]) -> float:
    return sum(max(_alike(bag, other) for other in others) for bag in bags) / len(bags)


def _alike(bag: _Bag, other: _Bag) -> float:
    if bag.text == other.text:
        return 1.0
    total = bag.words.total() + other.words.total()
    return 2 * (bag.words & other.words).total() / total if total else 0.0


def _bags(texts: Sequence[str]) -> list[_Bag]:
    return [_Bag(text, _words(text)) for text in texts[:MOST_TEXTS]]


def _equal_share(fields: Mapping[str, Any], others: Mapping[str, Any]) -> float:
    names = {*fields, *others}
    same = [n for n in names if n in fields and n in others and fields[n] == others[n]]
    return len(same) / len(names)


def _words(text: str) -> Counter[str]:
    found = _WORD.finditer(text[:MOST_CHARACTERS].casefold())
    return Counter(match[0] for match in islice(found, MOST_WORDS))
