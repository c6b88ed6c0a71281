"""Proxy: Admission by the tokens of the document alone; nothing is limited but their end."""

import hmac
import time
from collections.abc import Sequence

from websockets.datastructures import Headers

from caption_flow.grants import Grant, digest
from caption_flow.proxy.ports import Allowance, Refusal

_SCHEME = "bearer "
UNKNOWN = Refusal(401, "This token is unknown here, or has expired.\n")


class ListedTokens:
    """Admission, see ports."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = tuple(grants)

    async def admit(self, headers: Headers, address: str) -> Grant | Refusal:  # noqa: ARG002
        """Find the grant of a token."""
        token = bearer(headers)
        grant = None if token is None else self._found(digest(token))
        return grant if grant is not None and self.allowed(grant) else UNKNOWN

    def _found(self, sha256: str) -> Grant | None:
        """Compare with every grant, each in constant time, so that no answer comes sooner."""
        same = [grant for grant in self._grants if hmac.compare_digest(grant.sha256, sha256)]
        return same[0] if same else None

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:  # noqa: ARG002
        """Admit any number of connections."""
        return True

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Nothing is counted."""

    def allowed(self, grant: Grant) -> bool:
        """Whether the token has not expired."""
        return grant.expires is None or time.time() < grant.expires

    async def allowance(self, grant: Grant, samples: int) -> Allowance:  # noqa: ARG002
        """Allow all."""
        return Allowance(samples)

    async def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None:
        """Nothing is counted."""


def bearer(headers: Headers) -> str | None:
    """Find the token that a request brings; None where it brings none, or several."""
    given = headers.get_all("Authorization")
    if len(given) != 1 or not given[0].lower().startswith(_SCHEME):
        return None
    return given[0][len(_SCHEME) :].strip()
