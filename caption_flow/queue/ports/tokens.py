"""Queue: tokens of a job and what they were used for, as protocols. Redis implements them.

An operator edits tokens at any time; proxies follow, and count what each contributor has, since
several proxies serve one job. Methods raise QueueUnreachable when Redis does not answer.
"""

from collections.abc import Mapping, Sequence
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


class Had(Struct, frozen=True):
    """What a contributor was sent, over all proxies."""

    samples: int  # in the last minute
    samples_wait: float  # seconds until some of those are older
    bytes: int  # of images, today by UTC
    bytes_wait: float  # seconds until tomorrow


class Usage(Protocol):
    """What a proxy asks about the use of tokens."""

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:
        """Count a connection instead of another one; False where there are too many."""
        ...

    async def stay(self, grant: Grant, tickets: Sequence[str]) -> None:
        """Go on to count connections, before they are forgotten."""
        ...

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Count a connection no more."""
        ...

    async def spend(self, grant: Grant, samples: int, bytes_: int) -> Had:
        """Add what was sent to what was sent before."""
        ...
