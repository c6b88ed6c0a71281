"""Chaos, the Redis of a run, and what befalls it."""

import time
from collections import Counter
from pathlib import Path

from tests.chaos.aof import Aof
from tests.chaos.mischief import DEADLY, REDIS, Deed
from tests.chaos.replica import PROMPT, Replica
from tests.e2e.jobs import GROUPS, Job
from tests.redis_server import RedisServer

JOB = "chaos"


class Server:
    """A server with AOF that is killed, paused, cut off and, where asked for, emptied."""

    def __init__(self, folder: Path, fsync: str, *, with_replica: bool) -> None:
        self._redis = RedisServer(folder, "--appendfsync", fsync, *PROMPT)
        self._replica = Replica(folder.with_name("replica"), self._redis) if with_replica else None
        self._aof = Aof(folder)
        self._forgets = fsync != "always"
        self._resumes_at: float | None = None
        self.job = Job(self._redis.url, JOB)
        self.done: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return self._redis.url

    @property
    def is_paused(self) -> bool:
        """Whether nobody may ask it anything, or wait in vain."""
        return self._resumes_at is not None

    def start(self) -> None:
        self._redis.start()
        if self._replica is not None:
            self._replica.start()

    def tend(self) -> None:
        self._aof.note()
        if self._resumes_at is not None and time.monotonic() >= self._resumes_at:
            self.resume()

    def suffer(self, deed: Deed) -> None:
        if self.is_paused and deed.what not in DEADLY:
            self.resume()
        match deed.what:
            case "kill":
                self._kill(away=deed.seconds)
            case "crash":
                self._kill(forgotten=deed.seconds)
            case "pause":
                self._redis.pause()
                self._resumes_at = time.monotonic() + deed.seconds
            case "cut":
                self._redis.cli("CLIENT", "KILL", "TYPE", "normal")
            case "flush":
                self._redis.cli("FLUSHALL")
            case "ungroup":
                stream, group = list(GROUPS.items())[deed.nth % len(GROUPS)]
                self._redis.cli("XGROUP", "DESTROY", self.job.key(stream), group)
            case "failover":
                assert self._replica is not None
                self._replica.take_over(deed.seconds)
        self.done[deed.what, REDIS] += 1

    def _kill(self, *, away: float = 0.0, forgotten: float = 0.0) -> None:
        self._redis.kill()
        self._resumes_at = None
        if self._forgets:
            self._aof.forget(forgotten)
        time.sleep(away)
        self._redis.start()

    def resume(self) -> None:
        self._redis.resume()
        self._resumes_at = None

    def close(self) -> None:
        self._redis.kill()
        if self._replica is not None:
            self._replica.close()
