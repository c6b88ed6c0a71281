"""Queue, the check on entering: may this server be used?

Asked once by every role before it works. What would lose samples is refused with its cure;
what may only repeat work is a warning.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from redis import exceptions as foreign
from redis.asyncio import Redis, SSLConnection

from caption_flow.config.sizes import MIB
from caption_flow.errors import QueueUnfit, QueueUnreachable
from caption_flow.queue.border import host_of, translated, translation
from caption_flow.queue.routing import RoutedClient

FLOORS = {"redis": (7, 0), "valkey": (7, 2)}  # oldest versions with all commands we use
ROOM = 2  # memory of the server, in budgets of a job; samples are not all it keeps


class ServerFacts(Struct, frozen=True):
    """What a server says of itself; None where it does not say."""

    flavour: str  # "redis" or "valkey"
    version: tuple[int, ...]  # empty when unknown
    maxmemory: int | None  # bytes; 0 is no limit
    policy: str | None  # what happens at maxmemory
    aof: bool | None
    save: bool | None  # snapshots are taken by themselves
    cluster_enabled: bool
    replica: bool
    misread: int  # commands that failed when it read its AOF, or followed its primary
    warnings: tuple[str, ...] = ()  # sentences; none forbids the use

    @property
    def name(self) -> str:
        """Flavour and version, as people write them."""
        return f"{self.flavour.capitalize()} {'.'.join(map(str, self.version))}".rstrip()


async def check_server(client: Redis) -> ServerFacts:
    """Learn what the server is; raise QueueUnfit, with the cure, where it would lose samples.

    Of a Redis Cluster, every master is looked at: what holds of one holds of the cluster.
    """
    facts = await _checked(client)
    if not facts.cluster_enabled or not isinstance(client, RoutedClient):
        return facts
    with translated():
        masters = await client.masters()
    return _together({host_of(master): await _checked(master) for master in masters}, facts)


def _together(found: Mapping[str, ServerFacts], asked: ServerFacts) -> ServerFacts:
    """Tell of a cluster what is least, and the warnings of each node with its name."""
    limits = [facts.maxmemory for facts in found.values() if facts.maxmemory]
    return replace(
        asked,
        replica=False,
        maxmemory=min(limits, default=asked.maxmemory),
        warnings=tuple(
            f"{host}: {warning}" for host, facts in found.items() for warning in facts.warnings
        ),
    )


async def _checked(client: Redis) -> ServerFacts:
    with translated(host_of(client)):
        info = await _asked(client.info()) or {}
        if info.get("loading"):  # it answers INFO then, but with its AOF turned off
            raise QueueUnreachable(f"{host_of(client)} still loads its data. It may take a while.")
        config = await _asked(client.config_get("save"))
    cli = _cli(client)
    facts = facts_from(info, config, cli)
    refuse_unfit(facts, host_of(client), cli)
    return facts


async def server_time(client: Redis) -> float:
    """Ask the server for the time, in seconds since the epoch."""
    with translated(host_of(client)):
        seconds, micros = await client.time()
    return float(seconds) + float(micros) / 1e6


async def _asked(answer: Any) -> dict[str, Any] | None:
    """Await what an ACL, a hosting company or an imitation of Redis may forbid."""
    try:
        reply: dict[str, Any] = await answer
    except foreign.ResponseError as exc:
        if isinstance(translation(exc), QueueUnreachable):  # not forbidden: it is busy just now
            raise
        return None
    return reply


def facts_from(
    info: Mapping[str, Any], config: Mapping[str, Any] | None, cli: str = "redis-cli"
) -> ServerFacts:
    """Read the facts off INFO and off CONFIG GET save, either of which may be short.

    `cli`: the command that reaches the server, for what is to be changed there.
    """
    flavour = "valkey" if "valkey_version" in info else "redis"
    version = re.match(r"[\d.]*\d", str(info.get(f"{flavour}_version", "")))
    points = (config or {}).get("save")
    facts = ServerFacts(
        flavour=flavour,
        version=tuple(map(int, version[0].split("."))) if version else (),
        maxmemory=info.get("maxmemory"),
        policy=info.get("maxmemory_policy"),
        aof=bool(info["aof_enabled"]) if "aof_enabled" in info else None,
        save=None if points is None else bool(points),
        cluster_enabled=bool(info.get("cluster_enabled", 0)),
        replica=info.get("role") in {"slave", "replica"},
        misread=info.get("unexpected_error_replies", 0),
    )
    return replace(facts, warnings=tuple(_warnings(facts, cli)))


def _warnings(facts: ServerFacts, cli: str) -> Iterator[str]:
    """Say what may hurt later, and what the server would not tell; then what to do about it."""
    if not facts.version:
        yield "The server hides its version. Redis 7.0 or Valkey 7.2 is the oldest that works."
    if facts.replica:
        yield "The server is a replica and refuses writes. Point `redis` at its primary."
    if facts.policy is None:
        yield "The server hides its maxmemory-policy. See to it that it is noeviction."
    elif facts.policy != "noeviction":
        yield (
            f"maxmemory-policy {facts.policy} would drop samples, were maxmemory set. "
            f"{_set(cli, 'maxmemory-policy noeviction')}"
        )
    if facts.misread:
        yield (
            "The server has done steps by halves, off an append-only file that a crash had torn: "
            "jobs may never end. Stop it, mend the file with redis-check-aof --fix, start it, and "
            "feed again."
        )
    if facts.aof:
        return
    if facts.aof is None and facts.save is None:
        yield (
            "The server hides whether it keeps its data on disk (appendonly, save). "
            "See to it that appendonly is yes."
        )
        return
    if facts.save:
        lost = "AOF is off: a restart of the server repeats the work since its last snapshot."
    elif facts.save is None:
        lost = "AOF is off, and the server hides whether it takes snapshots."
    else:
        lost = "AOF and snapshots are off: a restart repeats all that is not in parts."
    yield f"{lost} {_set(cli, 'appendonly yes')}"


def _set(cli: str, setting: str) -> str:
    return f"Mend it with: {cli} CONFIG SET {setting} (and in redis.conf, to last)."


def cramped(facts: ServerFacts, budget: int) -> str:
    """Say where a job's budget of bytes may fill the server; empty where it will not."""
    if not facts.maxmemory or facts.maxmemory >= ROOM * budget:
        return ""
    return (
        f"The server may use {facts.maxmemory // MIB:,} MiB (maxmemory), and this job up to "
        f"{budget // MIB:,} MiB for its samples alone. Give it twice that, or the job less "
        "(budget.bytes)."
    )


def refuse_unfit(facts: ServerFacts, host: str, cli: str) -> None:
    """Raise where the server is too old, or drops what it was given to keep."""
    if facts.version and facts.version < FLOORS[facts.flavour]:
        raise QueueUnfit(
            f"{host} is {facts.name}, which lacks commands we need. Use Redis 7.0, Valkey 7.2 or "
            "later; or leave `redis` out, and `caption-flow run` starts its own."
        )
    if facts.maxmemory and facts.policy not in {None, "noeviction"}:
        raise QueueUnfit(
            f"{host} drops samples when its memory is full (maxmemory-policy {facts.policy}). "
            f"{_set(cli, 'maxmemory-policy noeviction')}"
        )


def _cli(client: Redis) -> str:
    """Give the redis-cli command that reaches the same server."""
    where = client.connection_pool.connection_kwargs
    if "path" in where:
        return f"redis-cli -s {where['path']}"
    tls = " --tls" if issubclass(client.connection_pool.connection_class, SSLConnection) else ""
    return f"redis-cli -h {where.get('host', 'localhost')} -p {where.get('port', 6379)}{tls}"
