"""Queue: Usage on Redis. What contributors have and were sent, added up over all proxies."""

from collections.abc import Sequence
from typing import Any

from caption_flow.grants import Grant
from caption_flow.queue.border import translated
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports.usage import Had

# A connection counts for so long after its proxy spoke of it last.
STAY_SECONDS = 15.0
# For so long one that another has taken the place of is not counted, though its own proxy may
# not have noticed yet that it is broken.
FORMER_SECONDS = 60.0
PIECE_SECONDS = 5  # samples are counted in pieces of a minute
_PIECES = 60 // PIECE_SECONDS


class RedisUsage:
    """Usage, see ports."""

    def __init__(self, job: RedisJob) -> None:
        self._job = job

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:
        """Count a connection instead of another one; False where there are too many."""
        milliseconds = [int(seconds * 1000) for seconds in (STAY_SECONDS, FORMER_SECONDS)]
        args = [ticket, instead_of, grant.max_workers or 0, *milliseconds]
        return bool(await self._run("enter", self._sessions(grant), args))

    async def stay(self, grant: Grant, tickets: Sequence[str]) -> None:
        """Go on to count connections, before they are forgotten."""
        args = [int(STAY_SECONDS * 1000), *tickets]
        await self._run("stay", self._sessions(grant), args)

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Count a connection no more."""
        with translated():
            await self._job.client.zrem(self._sessions(grant), ticket)

    async def spend(self, grant: Grant, samples: int, bytes_: int) -> Had:
        """Add what was sent to what was sent before."""
        key = self._job.keys.usage(grant.role, grant.name)
        args = [samples, bytes_, PIECE_SECONDS, _PIECES]
        return Had(*await self._run("spend", key, args))

    async def _run(self, script: str, key: str, args: list[Any]) -> Any:
        return await self._job.scripts.run(script, [key], args)

    def _sessions(self, grant: Grant) -> str:
        return self._job.keys.sessions(grant.role, grant.name)
