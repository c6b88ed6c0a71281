"""An admission by a list of tokens alone, which counts nothing: for tests of the rest."""

import time
from collections.abc import Sequence

from websockets.datastructures import Headers

from caption_flow.grants import Grant, digest
from caption_flow.proxy.ports import Allowance, Refusal


class ListedTokens:
    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = tuple(grants)

    async def admit(self, headers: Headers, address: str) -> Grant | Refusal:  # noqa: ARG002
        given = "".join(headers.get_all("Authorization")).removeprefix("Bearer ")
        found = next((one for one in self._grants if one.sha256 == digest(given)), None)
        good = None if found is None else self.current(found)
        return good or Refusal(401, "This token is unknown here, or has expired.\n")

    def ask(self, headers: Headers, address: str) -> Refusal | None: ...

    async def look_in(self, headers: Headers, address: str) -> Grant | Refusal:
        return await self.admit(headers, address)

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:  # noqa: ARG002
        return True

    async def leave(self, grant: Grant, ticket: str) -> None: ...

    def current(self, grant: Grant) -> Grant | None:
        return grant if grant.expires is None or time.time() < grant.expires else None

    async def allowance(self, grant: Grant, samples: int) -> Allowance:  # noqa: ARG002
        return Allowance(samples)

    def is_exhausted(self, grant: Grant) -> bool:  # noqa: ARG002
        return False

    async def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None: ...
