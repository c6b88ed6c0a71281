"""The check on entering: which servers are refused, with which cure, and which only warned of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from caption_flow.config.sizes import MIB
from caption_flow.errors import QueueUnfit, QueueUnreachable
from caption_flow.queue.connect import Connections, check_server, connect
from caption_flow.queue.fitness import cramped, facts_from, refuse_unfit
from tests.redis_server import RedisServer, free_port

INFO = {
    "redis_version": "7.0.15",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "role": "master",
    "cluster_enabled": 0,
}


@pytest.fixture
async def own(own_server: RedisServer) -> AsyncIterator[Connections]:
    async with connect(own_server.url, role="test") as opened:
        yield opened


async def test_good_server_passes_without_a_warning(connections: Connections):
    facts = await check_server(connections.commands)

    assert facts.flavour == "redis"
    assert facts.version >= (7, 0)
    assert not facts.warnings


async def test_evicting_server_is_refused_with_the_command_that_mends_it(
    own: Connections, own_server: RedisServer
):
    await own.commands.config_set("maxmemory", "100mb")
    await own.commands.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(QueueUnfit) as raised:
        await check_server(own.commands)

    cure = f"redis-cli -h 127.0.0.1 -p {own_server.port} CONFIG SET maxmemory-policy noeviction"
    assert cure in str(raised.value)


async def test_evicting_policy_without_a_limit_is_a_warning(own: Connections):
    await own.commands.config_set("maxmemory-policy", "volatile-ttl")

    [warning] = (await check_server(own.commands)).warnings

    assert "volatile-ttl" in warning


async def test_no_persistence_is_a_warning(own: Connections):
    await own.commands.config_set("appendonly", "no")

    [warning] = (await check_server(own.commands)).warnings

    assert "AOF and snapshots are off" in warning


async def test_snapshots_alone_are_a_warning(own: Connections):
    await own.commands.config_set("appendonly", "no")
    await own.commands.config_set("save", "3600 1")

    [warning] = (await check_server(own.commands)).warnings

    assert "AOF is off" in warning


async def test_replica_is_a_warning(own: Connections):
    await own.commands.replicaof("127.0.0.1", str(free_port()))

    [warning] = (await check_server(own.commands)).warnings

    assert "replica" in warning


async def test_steps_done_by_halves_off_a_torn_file_are_a_warning(
    own: Connections, own_server: RedisServer
):
    own_server.options = ("--enable-debug-command", "local")
    own_server.restart()
    [aof] = own_server.directory.glob("appendonlydir/*.incr.aof")
    with aof.open("ab") as file:  # what Redis 7.0 leaves of a transaction that a crash has cut
        file.write(b"*1\r\n$5\r\nMULTI\r\n")
    own_server.cli("EVAL", "redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)", 0)
    own_server.cli("DEBUG", "LOADAOF")

    [warning] = (await check_server(own.commands)).warnings

    assert "redis-check-aof --fix" in warning


async def test_forbidden_config_falls_back_on_info(own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "appendonly", "no")
    own_server.cli("ACL", "SETUSER", "bob", "on", ">p", "~*", "+@all", "-config")
    url = f"redis://bob:p@127.0.0.1:{own_server.port}"
    async with connect(url, role="test") as connections:
        facts = await check_server(connections.commands)

    assert facts.policy == "noeviction"
    [warning] = facts.warnings
    assert warning.startswith("AOF is off, and the server hides whether it takes snapshots.")
    assert f"-p {own_server.port} CONFIG SET appendonly yes" in warning


async def test_silent_server_passes_with_all_that_is_unknown_as_warnings():
    """An imitation of Redis has no INFO and no CONFIG."""
    async with FakeAsyncRedis() as client:
        facts = await check_server(client)

    assert [warning.split()[2] for warning in facts.warnings] == ["hides"] * 3


async def test_server_that_loads_its_data_is_waited_for(own_server: RedisServer):
    """It answers INFO meanwhile, and says that its AOF is off."""
    own_server.cli("EVAL", "for i = 1, 1500 do redis.call('SET', i, i) end", 0)
    own_server.cli("BGREWRITEAOF")
    while "aof_rewrite_in_progress:0" not in own_server.cli("INFO", "persistence"):
        pass
    own_server.stop()
    slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    own_server.options = slowly
    starting = asyncio.create_task(asyncio.to_thread(own_server.start))
    said = set()
    async with connect(own_server.url, role="test") as connections:
        while not starting.done():
            try:
                facts = await check_server(connections.commands)
            except QueueUnreachable as exc:
                said.add(str(exc).partition(" ")[2].partition(".")[0])
            else:
                assert facts.warnings == ()
    await starting

    assert "still loads its data" in said


async def test_server_that_is_busy_with_a_script_is_waited_for(own_server: RedisServer):
    """It refuses INFO meanwhile, which is not to hide what it would tell."""
    own_server.cli("CONFIG", "SET", "lua-time-limit", 1)
    endless = asyncio.create_task(asyncio.to_thread(own_server.cli, "EVAL", "while true do end", 0))
    async with connect(own_server.url, role="test") as connections:
        async with asyncio.timeout(20):
            while not (said := await unreachable(connections)):
                pass
    own_server.cli("SCRIPT", "KILL")
    await endless

    assert "is busy with a long script" in said


async def unreachable(connections: Connections) -> str:
    """What is said of a server that does not answer; empty where it does."""
    try:
        await check_server(connections.commands)
    except QueueUnreachable as exc:
        return str(exc)
    return ""


async def test_absent_server_is_unreachable():
    async with connect(f"redis://127.0.0.1:{free_port()}", role="test") as connections:
        with pytest.raises(QueueUnreachable):
            await check_server(connections.commands)


@pytest.mark.parametrize(("maxmemory", "warned"), [(0, False), (199, True), (200, False)])
def test_memory_below_twice_the_budget_is_a_warning(maxmemory: int, warned: bool):
    """What is in flight is images and more."""
    facts = facts_from(INFO | {"maxmemory": maxmemory * MIB}, {"save": ""})

    assert (
        "199 MiB (maxmemory), and this job up to 100 MiB" in cramped(facts, 100 * MIB)
    ) is warned


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "6.2.14"},
        {"redis_version": "6.3.4"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.1.9"},
    ],
)
def test_old_server_is_refused(info: dict[str, Any]):
    with pytest.raises(QueueUnfit, match="lacks commands"):
        refuse_unfit(facts_from(INFO | info, {"save": ""}), "host:6379", "redis-cli")


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"redis_version": "7.0.0"}, "Redis 7.0.0"),
        ({"redis_version": 7.4}, "Redis 7.4"),
        ({"redis_version": "8.4-rc1"}, "Redis 8.4"),
        ({"redis_version": "10.0.1"}, "Redis 10.0.1"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "Valkey 9.1.2"),
    ],
)
def test_new_server_passes(info: dict[str, Any], name: str):
    facts = facts_from(INFO | info, {"save": ""})
    refuse_unfit(facts, "host:6379", "redis-cli")

    assert facts.name == name


def test_node_of_a_cluster_says_so():
    assert facts_from(INFO | {"cluster_enabled": 1}, None).cluster_enabled
