"""Queue: what is asked about the tokens of a job, as protocols.

An operator edits tokens at any time, and proxies follow.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from caption_flow.grants import Grant, Role

Words: TypeAlias = Mapping[str, "Word"]  # by role and name


class Word(Struct, frozen=True):
    """What was said last of the token of a role and name."""

    stamp: int  # of a later word higher
    grant: Grant | None  # None: it was removed


class Tokens(Protocol):
    """What an operator asks."""

    async def grants(self) -> list[Grant]:
        """Read the tokens that are good or have expired."""
        ...

    async def put(self, grant: Grant, *, instead_of: str | None = None) -> bool:
        """Add a token, or put it in the place of another of its role and name, by SHA-256.

        False where another one is there than that, or none is, and nothing has changed.
        """
        ...

    async def remove(self, name: str, role: Role) -> Grant | None:
        """Remove a token for good; answers what it was. None: there was none."""
        ...


class TokenBook(Protocol):
    """What a proxy asks about tokens."""

    async def mark(self) -> str | None:
        """Tell what is said of all tokens from what was or will be; None while nothing is."""
        ...

    async def read(self) -> tuple[str | None, Words]:
        """Read what was said last of each token, and its mark."""
        ...

    async def remind(self, words: Words) -> None:
        """Say what was said should it be forgotten; what was said later stays."""
        ...
