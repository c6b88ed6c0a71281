"""Queue: what is asked about the use of tokens, as a protocol.

Proxies count what each contributor has, since several of them serve one job.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from caption_flow.grants import Grant


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
