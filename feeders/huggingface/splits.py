"""Which split a file is of, by how it and its folders are called.

The first rule that fits any file is the one for all of them, as in the library `datasets`: names
like data/train-00000-of-00002.parquet, then folders named for a split, then files named for one.
Where none fits, all is "train".
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from feeders.huggingface.card import DEFAULT_SPLIT

Rule: TypeAlias = Callable[[str], str | None]

_SHARDED = re.compile(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_BETWEEN = re.compile(r"[-._ 0-9/]+")
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_MEANS = {word: split for split, words in _WORDS.items() for word in words}


class Splits:
    """Hears all names once, then tells the split of each. Holds none of them."""

    def __init__(self) -> None:
        self._found: dict[Rule, set[str]] = {rule: set() for rule in (_numbered, _folder, _file)}
        self.any = False

    def hear(self, name: str) -> None:
        """Take note of a file."""
        self.any = True
        for rule, found in self._found.items():
            if split := rule(name):
                found.add(split)

    @property
    def names(self) -> list[str]:
        """All splits there are."""
        found = self._found.get(self._rule, set())
        return [s for s in _WORDS if s in found] + sorted(found - set(_WORDS)) or [DEFAULT_SPLIT]

    def split(self, name: str) -> str | None:
        """Tell the split of a file; None: it is of none."""
        return self._rule(name)

    @property
    def _rule(self) -> Rule:
        return next((rule for rule, found in self._found.items() if found), _all)


def names_split(folder: str) -> bool:
    """Whether a folder is called for a split."""
    return _word(folder) is not None


def _numbered(name: str) -> str | None:
    match = _SHARDED.fullmatch(name)
    return match[1] if match else None


def _folder(name: str) -> str | None:
    folders = name.split("/")[:-1]
    return next(filter(None, map(_word, reversed(folders))), None)


def _file(name: str) -> str | None:
    stem, dot, _ = name.rpartition("/")[2].rpartition(".")
    return _word(stem) if dot else None


def _all(name: str) -> str | None:  # noqa: ARG001 - as all rules are called
    return DEFAULT_SPLIT


def _word(text: str) -> str | None:
    return next((_MEANS[word] for word in _BETWEEN.split(text) if word in _MEANS), None)
