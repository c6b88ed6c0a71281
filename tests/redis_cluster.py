"""A real Redis Cluster for tests: nodes that are started, killed, added, and lose slots at will."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Self

from redis.crc import key_slot

from tests.redis_server import RedisServer

SLOTS = 16_384

_PATIENCE = 20.0  # seconds until the nodes must agree
_NODE_TIMEOUT = 1000  # milliseconds of silence until a node counts as failed
_OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-node-timeout", str(_NODE_TIMEOUT), "--cluster-replica-validity-factor", "0"),
    *("--repl-diskless-sync-delay", "0", "--cluster-migration-barrier", "99"),
)


class RedisCluster:
    """So many masters, each with its replica where asked; slots are dealt out evenly."""

    def __init__(
        self, directory: Path, *options: str, masters: int = 3, replicas: bool = False
    ) -> None:
        self.directory = directory
        self._options = options
        self.masters = [self._node(number) for number in range(masters)]
        self.replicas = [self._node(100 + number) for number in range(masters if replicas else 0)]
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """Every node, masters first."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)
        return f"redis://{hosts}/0"

    def start(self) -> Self:
        for epoch, node in enumerate(self._nodes, 1):
            self._running.enter_context(node)
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        bounds = [round(SLOTS * n / len(self.masters)) for n in range(len(self.masters) + 1)]
        for node, (first, end) in zip(self.masters, pairwise(bounds), strict=True):
            node.cli("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in self._nodes[1:]:
            self._meet(node)
        self._until(self._all_know_all, "the nodes know each other")
        for replica, master in zip(self.replicas, self.masters, strict=False):
            replica.cli("CLUSTER", "REPLICATE", id_of(master))
        self.wait_until_sound()
        return self

    def stop(self) -> None:
        """Kill every node."""
        self._running.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def master_of(self, key: str) -> int:
        """Number of the master that serves a key, among `masters`."""
        return self._master_of_slot(key_slot(key.encode()))

    def flush(self) -> None:
        """Empty every master."""
        for node in self.masters:
            node.cli("FLUSHALL")

    def begin_migration(self, slot: int, to: int) -> None:
        """Open a slot for its move; its keys stay where they are as yet."""
        source, target = self.masters[self._master_of_slot(slot)], self.masters[to]
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", id_of(source))
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", id_of(target))

    def move_keys(self, slot: int, to: int, most: int = SLOTS) -> int:
        """Move so many keys of an open slot, one by one; answers how many there were."""
        source, target = self.masters[self._master_of_slot(slot)], self.masters[to]
        keys = source.cli("CLUSTER", "GETKEYSINSLOT", slot, most).splitlines()
        for key in keys:
            source.cli("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        return len(keys)

    def end_migration(self, slot: int, to: int) -> None:
        """Give an open slot to its new master, the keys that came meanwhile first."""
        target = self.masters[to]
        while True:
            while self.move_keys(slot, to):
                pass
            if self._handed_over(slot, target):
                break
        for node in self.masters:
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", id_of(target))

    def migrate_slot(self, slot: int, to: int) -> None:
        """Move a slot and all its keys, while clients go on."""
        if self._master_of_slot(slot) != to:
            self.begin_migration(slot, to)
            self.end_migration(slot, to)

    def kill_master(self, number: int) -> None:
        """Kill a master, and wait until its replica serves instead of it."""
        self.masters[number].kill()
        self.wait_until_replaced(number)

    def wait_until_replaced(self, number: int) -> None:
        """Wait for the replica of a master that died; the two change places in the lists."""
        dead, heir = self.masters[number], self.replicas[number]
        self._until(lambda: _is_master(heir), "a replica has taken over", patience=5.0, fails=False)
        if not _is_master(heir):  # an election may fail when the machine is busy
            heir.cli("CLUSTER", "FAILOVER", "TAKEOVER")
        self.masters[number], self.replicas[number] = heir, dead
        self._until(lambda: all(map(_is_ok, self._alive)), "the cluster serves again")

    def revive_replica(self, number: int) -> None:
        """Start what was killed again: it follows the one that took its place."""
        self.replicas[number].start()
        self.wait_until_sound()

    def grow(self, masters: int) -> None:
        """Add masters without slots until there are so many."""
        while len(self.masters) < masters:
            node = self._node(len(self.masters))
            self._running.enter_context(node)
            self._meet(node)
            self.masters.append(node)
            self._until(self._all_know_all, "the new master is known")

    def wait_until_sound(self) -> None:
        """Wait until each node finds the cluster whole, and each replica is in step."""
        self._until(lambda: all(map(_is_ok, self._nodes)), "the cluster is whole")
        self._until(lambda: all(map(_follows, self.replicas)), "the replicas are in step")

    @property
    def _nodes(self) -> list[RedisServer]:
        return [*self.masters, *self.replicas]

    @property
    def _alive(self) -> list[RedisServer]:
        return [node for node in self._nodes if node.running]

    def _node(self, number: int) -> RedisServer:
        return RedisServer(self.directory / f"node-{number}", *_OPTIONS, *self._options)

    def _meet(self, node: RedisServer) -> None:
        node.cli("CLUSTER", "MEET", "127.0.0.1", self._alive[0].port)

    def _all_know_all(self) -> bool:
        ids = {id_of(node) for node in self._alive}
        return all(ids <= _known_to(node) for node in self._alive)

    def _master_of_slot(self, slot: int) -> int:
        answer = self._alive[0].cli("CLUSTER", "NODES")
        for number, node in enumerate(self.masters):
            line = next(line for line in answer.splitlines() if f":{node.port}@" in line)
            if any(_holds(word, slot) for word in line.split()[8:]):
                return number
        raise LookupError(f"no master serves the slot {slot}")

    def _handed_over(self, slot: int, target: RedisServer) -> bool:
        """The source last of all masters: it refuses while it has keys of the slot."""
        target.cli("CLUSTER", "SETSLOT", slot, "NODE", id_of(target))
        source = self.masters[self._master_of_slot(slot)]
        return "ERR" not in source.cli("CLUSTER", "SETSLOT", slot, "NODE", id_of(target))

    def _until(
        self,
        true: Callable[[], bool],
        what: str,
        patience: float = _PATIENCE,
        *,
        fails: bool = True,
    ) -> None:
        deadline = time.monotonic() + patience
        while not true():
            if time.monotonic() > deadline:
                if not fails:
                    return
                raise RuntimeError(f"after {patience} s it is not so that {what}")
            time.sleep(0.02)


def id_of(node: RedisServer) -> str:
    """Name of a node within its cluster."""
    return node.cli("CLUSTER", "MYID")


def _holds(word: str, slot: int) -> bool:
    first, _, last = word.partition("-")
    return first.isdigit() and int(first) <= slot <= int(last or first)


def _known_to(node: RedisServer) -> set[str]:
    """Names of the nodes whose greeting is over, as one of them sees it."""
    lines = node.cli("CLUSTER", "NODES").splitlines()
    return {line.split()[0] for line in lines if "handshake" not in line}


def _is_ok(node: RedisServer) -> bool:
    return "cluster_state:ok" in node.cli("CLUSTER", "INFO")


def _is_master(node: RedisServer) -> bool:
    return "role:master" in node.cli("INFO", "replication")


def _follows(node: RedisServer) -> bool:
    return "master_link_status:up" in node.cli("INFO", "replication")
