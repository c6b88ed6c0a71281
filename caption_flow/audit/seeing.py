"""Audit: how far it is, for who waits for it."""

from collections.abc import Callable
from typing import TypeAlias

# What is looked at, how many so far, and of how many; None: nobody knows.
See: TypeAlias = Callable[[str, int, int | None], None]


def unseen(doing: str, done: int, total: int | None) -> None:
    """Tell nobody."""
