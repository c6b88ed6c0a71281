"""Proxy: whether and how contributors are checked, for all sessions of a process."""

import hashlib
import secrets
from itertools import count
from pathlib import Path

from caption_flow.config.proxy import ChecksConfig
from caption_flow.grants import Grant
from caption_flow.model import EntryId
from caption_flow.proxy.checks.checker import CheckerQueue
from caption_flow.proxy.checks.known import known_images
from caption_flow.proxy.checks.lending import Pool
from caption_flow.proxy.checks.seal import KEY_BYTES, Seal
from caption_flow.proxy.checks.watched import WatchedQueue
from caption_flow.proxy.view import View
from caption_flow.queue.checks import RedisChecks
from caption_flow.queue.job import RedisJob
from caption_flow.queue.probes import RedisProbes
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.relay import RelayQueue

_ALL = 1 << 64  # as many numbers as there are of eight bytes


class Checks:
    """Makes the queues of clients, and says whose captions are made again."""

    def __init__(self, job: RedisJob, config: ChecksConfig, pool: Pool | None) -> None:
        self.job = job
        self.config = config
        self.pool = pool  # None: no captions are known
        self.redis = RedisChecks(job)
        self.numbers = count(secrets.randbits(32))  # of what is made again, so that none has two
        self._key = secrets.token_bytes(KEY_BYTES)

    def queue(self, grant: Grant, name: str, reclaims: Reclaims) -> RelayQueue:
        """Make the queue of one channel."""
        if not grant.trusted:
            return WatchedQueue(self, name=name, contributor=grant.name, reclaims=reclaims)
        if self.config.share is not None:
            return CheckerQueue(self, name=name, contributor=grant.name, reclaims=reclaims)
        return RelayQueue(self.job, name=name, contributor=grant.name, reclaims=reclaims)

    def chosen(self, entry: EntryId, outcomes: int) -> int | None:
        """Say which of its outcomes is made again; None: none. Nobody else can tell or choose."""
        if self.config.share is None:
            return None
        mixed = hashlib.blake2b(entry.encode(), key=self._key, digest_size=16).digest()
        if int.from_bytes(mixed[:8]) >= self.config.share * _ALL:
            return None
        return int.from_bytes(mixed[8:]) % outcomes


async def checks(job: RedisJob, view: View, config: ChecksConfig) -> Checks | None:
    """Prepare to check contributors; None where nobody is checked. Raises ConfigError."""
    if config.share is None and config.known is None:
        return None
    return Checks(job, config, await _pool(job, view, config))


async def _pool(job: RedisJob, view: View, config: ChecksConfig) -> Pool | None:
    if config.known is None or config.known_share is None:
        return None
    probes = RedisProbes(job)
    key = await probes.seal_key(secrets.token_bytes(KEY_BYTES))
    known = known_images(Path(config.known))
    return Pool(known, Seal(key), probes, view, config.known_share)
