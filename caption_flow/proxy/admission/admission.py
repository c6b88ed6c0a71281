"""Proxy: Admission by tokens, addresses, and what each contributor has and was sent.

A request is judged by its address, then by its token, before anything is upgraded; nothing is
asked of Redis for it, but for a token that nobody knows.
"""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.datastructures import Headers

from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant, digest
from caption_flow.proxy.admission.accounts import Accounts
from caption_flow.proxy.admission.addresses import Addresses
from caption_flow.proxy.admission.origin import Origins
from caption_flow.proxy.admission.presence import Presence
from caption_flow.proxy.admission.token_watch import TokenWatch
from caption_flow.proxy.ports import Allowance, Refusal
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens
from caption_flow.queue.usage import RedisUsage

logger = logging.getLogger(__name__)

_SCHEME = "bearer "
_FORWARDED = "X-Forwarded-For"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_UNKNOWN = Refusal(401, "This token is unknown here, or has expired.\n", _CHALLENGE)
_NONE_SHOWN = Refusal(
    401,
    "Give a token of the role monitor in the header Authorization: Bearer TOKEN.\n",
    _CHALLENGE,
)
_NOT_YET = Refusal(
    503, "The queue does not tell which tokens are good. Try again.\n", {"Retry-After": "2"}
)


class TokenAdmission:
    """Admission, see proxy/ports.py."""

    def __init__(
        self, watch: TokenWatch, presence: Presence, accounts: Accounts, config: ProxyConfig
    ) -> None:
        self._watch = watch
        self._presence = presence
        self._accounts = accounts
        self._origins = Origins(config.trust_forwarded)
        self._addresses = Addresses(
            handshakes_per_minute=config.handshakes_per_minute,
            failed_logins=config.failed_logins,
            pages_per_minute=config.page.requests_per_minute,
        )

    async def admit(self, headers: Headers, address: str) -> Grant | Refusal:
        """Judge a request by its headers and the address it comes from, before it is upgraded."""
        origin = self._origin(headers, address)
        if wait := self._addresses.knock(origin):
            return _too_much(wait, "This address connects too often.")
        return await self._judged(headers, origin)

    def ask(self, headers: Headers, address: str) -> Refusal | None:
        """Count a request for a page; a Refusal where its address asks too often."""
        wait = self._addresses.ask(self._origin(headers, address))
        return _too_much(wait, "This address asks for pages too often.") if wait else None

    async def look_in(self, headers: Headers, address: str) -> Grant | Refusal:
        """Judge by its token who asks for a page."""
        if not _bearer(headers):
            return _NONE_SHOWN
        return await self._judged(headers, self._origin(headers, address))

    def _origin(self, headers: Headers, address: str) -> str:
        return self._origins.of(address, headers.get_all(_FORWARDED))

    async def _judged(self, headers: Headers, origin: str) -> Grant | Refusal:
        token = _bearer(headers)
        if not token or not token.isascii():
            return _UNKNOWN  # no guess, and so no failed login
        sha256 = digest(token)
        if wait := self._addresses.banned(origin, sha256):
            return _too_much(wait, "Too many logins of this address have failed.")
        grant = await self._watch.find(sha256)
        if grant is None:
            return self._unknown(origin)
        self._addresses.passed(origin, sha256)
        return grant

    def _unknown(self, origin: str) -> Refusal:
        if not self._watch.knows:
            return _NOT_YET
        if wait := self._addresses.failed(origin):
            logger.warning("Too many logins of %s have failed; it waits %.0f s", origin, wait)
        return _UNKNOWN

    async def enter(self, grant: Grant, ticket: str, *, instead_of: str = "") -> bool:
        """Count a connection; False where the token has as many as it may."""
        now = self._watch.current(grant)
        if now is None:
            return False
        return await self._presence.enter(now, ticket, instead_of=instead_of)

    async def leave(self, grant: Grant, ticket: str) -> None:
        """Count a connection no more."""
        await self._presence.leave(grant, ticket)

    def current(self, grant: Grant) -> Grant | None:
        """Give what the token allows now; None: it was removed, or has expired."""
        return self._watch.current(grant)

    async def allowance(self, grant: Grant, samples: int) -> Allowance:
        """Say how many of the wanted samples may be claimed now."""
        now = self._watch.current(grant)
        return Allowance(0) if now is None else await self._accounts.allowance(now, samples)

    def is_exhausted(self, grant: Grant) -> bool:
        """Whether it has fetched so much that not even what it holds is sent to it any more."""
        now = self._watch.current(grant)
        return now is None or self._accounts.is_exhausted(now)

    async def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None:
        """Note what of an allowance was sent: samples, and bytes of images."""
        self._accounts.spend(grant, allowed=allowed, samples=samples, bytes_=bytes_)


@asynccontextmanager
async def token_admission(
    job: RedisJob, listed: tuple[Grant, ...], config: ProxyConfig
) -> AsyncIterator[TokenAdmission]:
    """Judge by the tokens of a job's document and of its Redis, for as long as this lasts."""
    usage = RedisUsage(job)
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(TokenWatch(RedisTokens(job), listed))
        presence = await stack.enter_async_context(Presence(usage))
        accounts = await stack.enter_async_context(Accounts(usage))
        yield TokenAdmission(watch, presence, accounts, config)


def _bearer(headers: Headers) -> str | None:
    """Find the token that a request brings; None where it brings none, or several."""
    given = headers.get_all("Authorization")
    if len(given) != 1 or not given[0].lower().startswith(_SCHEME):
        return None
    return given[0][len(_SCHEME) :].strip()


def _too_much(wait: float, why: str) -> Refusal:
    seconds = str(math.ceil(wait) or 1)
    return Refusal(429, f"{why} Try again in {seconds} s.\n", {"Retry-After": seconds})
