"""Chaos, a fail-over: a replica takes the server's place, without what it was not told in time."""

import time
from pathlib import Path

from tests.redis_server import RedisServer

PROMPT = ("--repl-diskless-sync-delay", "0")  # or a server waits for more replicas to come
_PATIENCE = 20.0  # seconds until one of two servers has what the other has


class Replica:
    """A second server that follows the first."""

    def __init__(self, folder: Path, primary: RedisServer) -> None:
        self._primary = primary
        self._own = RedisServer(folder, "--appendonly", "no", *PROMPT)

    def start(self) -> None:
        self._own.start()
        _follow(self._own, self._primary)

    def take_over(self, seconds: float) -> None:
        """Become the primary, then hand over: the roles know one address, and find this data there.

        The old primary takes writes for some seconds more, which are nobody's then.
        """
        _wait_for_link(self._own)
        self._own.cli("REPLICAOF", "NO", "ONE")
        time.sleep(seconds)
        _follow(self._primary, self._own)
        _wait_for_link(self._primary)
        self._primary.cli("REPLICAOF", "NO", "ONE")
        _follow(self._own, self._primary)

    def close(self) -> None:
        self._own.kill()


def _follow(one: RedisServer, other: RedisServer) -> None:
    one.cli("REPLICAOF", "127.0.0.1", other.port)


def _wait_for_link(server: RedisServer) -> None:
    deadline = time.monotonic() + _PATIENCE
    while "master_link_status:up" not in server.cli("INFO", "replication"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no replication:\n{server.log.read_text()[-2000:]}")
        time.sleep(0.05)
