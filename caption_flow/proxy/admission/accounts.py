"""Proxy: what each contributor may still be sent, in samples a minute and bytes a day.

Redis adds up over all proxies. It is told in batches, and not of each sample: so all proxies
together send at most what is allowed, and as many batches as there are proxies.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime

from caption_flow.config.sizes import spelt
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant, Role
from caption_flow.lifecycle import Telling
from caption_flow.proxy.ports import Allowance
from caption_flow.queue.ports.usage import Had, Usage

logger = logging.getLogger(__name__)

TELL_SECONDS = 1.0  # what others were sent is no older than that
HELD_SECONDS = 0.05  # until it is worth asking again, where others here are about to be sent
MOST_SECONDS = 5.0  # likewise, where a limit holds: it may be raised
_BATCHES = 20  # in what is allowed
_MOST_BYTES = 64 * 1024 * 1024  # in a batch

_NOTHING = Had(0, 0.0, 0, 0.0)


class Accounts(Telling):
    """Keeps one account for each contributor with limits, and tells Redis, while it lasts."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._accounts: dict[tuple[Role, str], Account] = {}

    async def allowance(self, grant: Grant, samples: int) -> Allowance:
        """Say how many of the wanted samples may be claimed; they are held until `spend`."""
        if not _is_limited(grant):
            return Allowance(samples)
        return await self._of(grant).allowance(grant, samples)

    def spend(self, grant: Grant, *, allowed: int, samples: int, bytes_: int) -> None:
        """Note what of an allowance was sent; the rest is free again."""
        if _is_limited(grant) or (grant.role, grant.name) in self._accounts:
            self._of(grant).spend(allowed, samples, bytes_)

    def is_exhausted(self, grant: Grant) -> bool:
        """Whether it has fetched so much that not even what it holds is sent to it any more."""
        account = self._accounts.get((grant.role, grant.name))
        return account is not None and account.is_exhausted(grant)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self._tell()

    async def _tell(self) -> None:
        for account in list(self._accounts.values()):
            try:
                await account.tell_rest()
            except CaptionFlowError as exc:
                logger.debug("What contributors were sent is not told: %s", exc)
                return

    def _of(self, grant: Grant) -> "Account":
        key = (grant.role, grant.name)
        if key not in self._accounts:
            self._accounts[key] = Account(self._usage, grant)
        return self._accounts[key]


class Account:
    """What one contributor was and may be sent."""

    def __init__(self, usage: Usage, grant: Grant) -> None:
        self._usage = usage
        self._grant = grant
        self._samples = self._bytes = 0  # sent here, and not told yet
        self._held = 0  # samples allowed here, of which we do not know yet whether they were sent
        self._size = 0.0  # bytes of a sample, of late; 0: none was sent
        self._had = _NOTHING  # over all proxies, as we heard last
        self._heard: float | None = None  # when, on the monotonic clock
        self._asking = asyncio.Lock()

    async def allowance(self, grant: Grant, wanted: int) -> Allowance:
        """Say how many samples may be claimed."""
        async with self._asking:
            self._grant = grant
            if self._must_tell(wanted):
                await self._tell()
            allowance = self._by_minute(wanted)
            if allowance.samples:
                allowance = self._by_day(allowance)
            self._held += allowance.samples
            return allowance

    def spend(self, allowed: int, samples: int, bytes_: int) -> None:
        """Note what was sent."""
        # A limit may be newer than what was allowed.
        self._held = max(0, self._held - allowed)
        self._samples += samples
        self._bytes += bytes_
        if samples:
            size = max(1.0, bytes_ / samples)
            self._size = max(size, (self._size + size) / 2)  # rather too large than too small

    def is_exhausted(self, grant: Grant) -> bool:
        """Whether it has had what it may be sent in a day twice, by asking for images again."""
        limit = grant.bytes_per_day
        sent = self._had.bytes + self._bytes
        return limit is not None and sent > 2 * limit + _MOST_BYTES

    async def tell_rest(self) -> None:
        """Tell Redis what it does not know."""
        if self._samples or self._bytes:
            async with self._asking:
                await self._tell()

    async def _tell(self) -> None:
        samples, bytes_ = self._samples, self._bytes
        self._had = await self._usage.spend(self._grant, samples, bytes_)
        self._samples -= samples
        self._bytes -= bytes_
        self._heard = time.monotonic()

    def _must_tell(self, wanted: int) -> bool:
        if self._heard is None or time.monotonic() - self._heard >= TELL_SECONDS:
            return True
        per_minute, per_day = self._grant.samples_per_minute, self._grant.bytes_per_day
        many = per_minute is not None and self._samples + wanted > _batch(per_minute)
        large = per_day is not None and self._bytes + wanted * self._size > _batch(
            per_day, _MOST_BYTES
        )
        return bool(self._samples or self._bytes) and (many or large)

    def _by_minute(self, wanted: int) -> Allowance:
        limit = self._grant.samples_per_minute
        if limit is None:
            return Allowance(wanted)
        left = limit - self._had.samples - self._samples
        if left <= 0:
            wait = self._had.samples_wait or MOST_SECONDS
            return _none(wait, f"It is sent at most {limit:,} samples a minute.", self._grant)
        given = min(wanted, left - self._held, _batch(limit) - self._samples - self._held)
        return Allowance(given) if given > 0 else Allowance(0, HELD_SECONDS)

    def _by_day(self, allowance: Allowance) -> Allowance:
        limit = self._grant.bytes_per_day
        if limit is None:
            return allowance
        left = limit - self._had.bytes - self._bytes
        if left <= 0:
            today = datetime.now(UTC).date()
            why = f"It is sent at most {spelt(limit)} a day; {today} ends at 24:00 UTC."
            return _none(self._had.bytes_wait, why, self._grant)
        # Sizes are known once it is claimed: one at first, then as many as seem to go into it.
        room = min(left, _batch(limit, _MOST_BYTES) - self._bytes)
        fitting = int(room / self._size) if self._size else 1
        given = min(allowance.samples, max(1, fitting) - self._held)
        return Allowance(given) if given > 0 else Allowance(0, HELD_SECONDS)


def _is_limited(grant: Grant) -> bool:
    return grant.samples_per_minute is not None or grant.bytes_per_day is not None


def _batch(limit: int, most: int | None = None) -> int:
    share = max(1, limit // _BATCHES)
    return share if most is None else min(share, most)


def _none(wait: float, why: str, grant: Grant) -> Allowance:
    said = f'The token of "{grant.name}" has reached its limit. {why}'
    return Allowance(0, min(max(wait, HELD_SECONDS), MOST_SECONDS), said)
