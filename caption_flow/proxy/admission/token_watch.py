"""Proxy: which tokens are good now, those of the document and those of the job's Redis.

A few times a second it asks Redis whether anything has been edited. What it has heard it keeps, and
says again where Redis has forgotten: a flush locks nobody out, and lets nobody in who was removed.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Sequence

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant
from caption_flow.lifecycle import Beside
from caption_flow.queue.ports.tokens import TokenBook, Word, Words

logger = logging.getLogger(__name__)

# Sessions look here twice a second, so that an edit is followed within a second.
LOOK_SECONDS = 0.25
# Between two looks for a token that nobody knows: it may have been added a moment ago.
UNKNOWN_SECONDS = 0.1
STALE_SECONDS = 5.0  # without an answer of Redis
_NEVER = Word(-1, None)


class TokenWatch(Beside):
    """Follows the tokens of a job for as long as its context lasts."""

    def __init__(self, book: TokenBook, listed: Sequence[Grant] = ()) -> None:
        self._book = book
        self._listed = tuple(listed)
        self._words: dict[str, Word] = {}
        self._mark: str | None = None
        # When, on the monotonic clock.
        self._looked = self._heard = -math.inf
        self._looking = asyncio.Lock()
        self._gather()

    async def __aenter__(self) -> "TokenWatch":
        await self._try_to_look()
        return await super().__aenter__()

    @property
    def knows(self) -> bool:
        """Whether a token that is not found here is none."""
        return time.monotonic() - self._heard < STALE_SECONDS

    async def find(self, sha256: str) -> Grant | None:
        """Find the grant of a token that is good."""
        found = self._found(sha256)
        if found is None:
            await self._look_since(time.monotonic())
            found = self._found(sha256)
        return found

    def current(self, grant: Grant) -> Grant | None:
        """Give what a token allows now; None: it was removed, or has expired."""
        now = self._good.get((grant.role, grant.name, grant.sha256))
        return now if now is not None and _lasts(now) else None

    async def look(self) -> None:
        """Hear what was edited; say again what was forgotten."""
        mark = await self._book.mark()
        if self._heard < 0 or mark != self._mark:
            await self._hear()
        self._heard = time.monotonic()

    async def _hear(self) -> None:
        self._mark, words = await self._book.read()
        if forgotten := _later(self._words, words):
            self._mark = None  # another one is written now
            await self._book.remind(forgotten)
            logger.warning("Redis had forgotten what was said of %d tokens", len(forgotten))
        self._words |= _later(words, self._words)
        self._gather()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            async with self._looking:
                await self._try_to_look()

    async def _look_since(self, asked: float) -> None:
        """Look, or wait for a look that has begun since; one serves all who have asked."""
        async with self._looking:
            if self._looked < asked:
                await asyncio.sleep(self._looked + UNKNOWN_SECONDS - time.monotonic())
                await self._try_to_look()

    async def _try_to_look(self) -> None:
        self._looked = time.monotonic()
        try:
            await self.look()
        except CaptionFlowError as exc:
            logger.debug("No look at the tokens: %s", exc)

    def _found(self, sha256: str) -> Grant | None:
        """Compare with every token, each in constant time, so that no answer comes sooner."""
        same = [one for one in self._good.values() if hmac.compare_digest(one.sha256, sha256)]
        return next(filter(_lasts, same), None)

    def _gather(self) -> None:
        said = (word.grant for word in self._words.values() if word.grant is not None)
        good = (*said, *self._listed)  # the document has the last word on a token that both have
        self._good = {(grant.role, grant.name, grant.sha256): grant for grant in good}


def _later(words: Words, than: Words) -> dict[str, Word]:
    return {
        field: word for field, word in words.items() if word.stamp > than.get(field, _NEVER).stamp
    }


def _lasts(grant: Grant) -> bool:
    return grant.expires is None or time.time() < grant.expires
