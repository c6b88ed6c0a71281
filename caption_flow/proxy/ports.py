"""Proxy: who may come in and how much each may have, as a protocol. Tokens implement it.

The server asks `admit` before a connection is upgraded, and `ask` and `look_in` before it shows a
page. A session enters when it has said hello,
lasts while its grant is `current`, asks for an `allowance` before it claims for its client, and
says what was sent.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field
from websockets.datastructures import Headers

from caption_flow.grants import Grant


class Refusal(Struct, frozen=True):
    """Why somebody may not come in: an answer of HTTP."""

    status: int  # 401, 403, 429 or 503
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)  # such as Retry-After


class Allowance(Struct, frozen=True):
    """How much may be claimed for a token now."""

    samples: int  # of those that were asked for
    wait: float = 0.0  # seconds until it is worth asking again, where that is fewer
    why: str = ""  # a sentence for the client's log, where that is fewer


class Admission(Protocol):
    """Knows the tokens, and what each has had."""

    async def admit(self, headers: Headers, address: str) -> Grant | Refusal:
        """Judge a request by its headers and the address it comes from, before it is upgraded."""
        ...

    def ask(self, headers: Headers, address: str) -> Refusal | None:
        """Count a request for a page; a Refusal where its address asks too often."""
        ...

    async def look_in(self, headers: Headers, address: str) -> Grant | Refusal:
        """Judge by its token who asks for a page. That is no connection, and not counted as one."""
        ...

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:
        """Count a connection; False where the token has as many as it may, and it is not counted.

        `ticket` is its own; `instead_of`: that of one which it takes up, and which counts no more.
        """
        ...

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Count a connection no more."""
        ...

    def current(self, grant: Grant) -> Grant | None:
        """Give what the token allows now; None: it was removed, or has expired.

        Asked often, of every connection: no I/O.
        """
        ...

    async def allowance(self, grant: Grant, samples: int) -> Allowance:
        """Say how many of the wanted samples may be claimed now; they are held until `spend`."""
        ...

    def is_exhausted(self, grant: Grant) -> bool:
        """Whether it has fetched so much that not even what it holds is sent to it any more."""
        ...

    async def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None:
        """Note what of an allowance was sent, samples and bytes of images; the rest is free."""
        ...
