"""Queue: all that commands ask of a job which look at it or change it, on Redis."""

from collections.abc import Sequence
from typing import Protocol

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant, Role
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.operate import RedisOperator
from caption_flow.queue.ports import Inspector, Operator, Settings
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.ports.tokens import Tokens
from caption_flow.queue.recall import RedisRecall
from caption_flow.queue.tokens import RedisTokens


class Office(Inspector, Operator, Tokens, Protocol):
    """What they ask, wherever they ask it. A proxy answers those whose token is for it."""

    @property
    def job(self) -> str:
        """Name the job."""
        ...

    @property
    def trouble(self) -> CaptionFlowError | None:
        """Say what keeps questions from being answered; None where nothing is known to."""
        ...

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        ...

    async def dataset(self) -> str | None:
        """Name the data set that the job is for."""
        ...

    async def reload(
        self, document: bytes, stages: Sequence[str], *, instead_of: int, by: str
    ) -> int | None:
        """Publish other settings instead of the version that was looked at.

        Answers the new version; None where that one is the job's no more, and nothing happened.
        """
        ...

    async def contributors(self) -> list[Contributor]:
        """Read what is known of each, by name."""
        ...

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        ...


class RedisOffice(RedisInspector, RedisOperator):
    """Office on Redis."""

    @property
    def trouble(self) -> CaptionFlowError | None:
        """Nothing is known of Redis until it is asked."""
        return None

    async def grants(self) -> list[Grant]:
        """Read the tokens that are good or have expired."""
        return await RedisTokens(self).grants()

    async def put(self, grant: Grant, *, instead_of: str | None = None) -> bool:
        """Add a token, or put it in the place of another of its role and name, by SHA-256."""
        return await RedisTokens(self).put(grant, instead_of=instead_of)

    async def remove(self, name: str, role: Role) -> Grant | None:
        """Remove a token for good; answers what it was. None: there was none."""
        return await RedisTokens(self).remove(name, role)

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        return await RedisRecall(self, stages=()).hand_back(contributor)
