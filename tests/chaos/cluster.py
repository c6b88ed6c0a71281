"""Chaos, a Redis Cluster instead of one Redis: masters die and slots move while all work."""

from collections import Counter
from pathlib import Path

from redis.crc import key_slot

from tests.chaos.lanes import LanedJob
from tests.chaos.mischief import REDIS, Deed
from tests.chaos.server import JOB
from tests.e2e.jobs import GROUPS
from tests.redis_cluster import RedisCluster


class ClusterServer:
    """Three masters with a replica each; what befalls them befalls the one of a lane."""

    is_paused = False  # a master that stands still is replaced, as one that dies

    def __init__(self, folder: Path, lanes: int) -> None:
        self._cluster = RedisCluster(folder, replicas=True)
        self.job = LanedJob(lambda: self._cluster.masters[0].url, JOB, lanes)
        self.done: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return self._cluster.url

    def start(self) -> None:
        self._cluster.start()

    def tend(self) -> None:
        return

    def suffer(self, deed: Deed) -> None:
        rest, number = divmod(deed.nth, len(self.job.lanes))
        lane = self.job.lanes[number]
        key = lane.key("chunks")
        master = self._cluster.master_of(key)
        match deed.what:
            case "kill" | "crash" | "pause" | "failover":
                self._cluster.kill_master(master)
                self._cluster.revive_replica(master)
            case "cut":
                self._cluster.masters[master].cli("CLIENT", "KILL", "TYPE", "normal")
            case "flush":
                self._cluster.flush()
            case "ungroup":
                stream, group = list(GROUPS.items())[rest % len(GROUPS)]
                lane.cli("XGROUP", "DESTROY", lane.key(stream), group)
            case "migrate":
                self._cluster.migrate_slot(key_slot(key.encode()), (master + 1) % 3)
        self.done[deed.what, REDIS] += 1

    def close(self) -> None:
        self._cluster.stop()
