"""A job on a Redis Cluster whose slots move, whose masters die, and which may not be whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from redis.crc import key_slot

from caption_flow.errors import QueueForgot, QueueUnfit, QueueUnreachable
from caption_flow.queue.connect import Connections, check_server, connect, translated
from tests.queue.shop import PLENTY, Shop, done, entries_of, ids_of, offers_of
from tests.redis_cluster import RedisCluster
from tests.redis_server import RedisServer, free_port
from tests.roles import until
from tests.talking import talking

_UNTIL_AGREED = 15.0  # seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters, each with its replica."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=True) as cluster:
        yield cluster


@pytest.fixture
def cluster(whole: RedisCluster) -> RedisCluster:
    whole.flush()
    return whole


@pytest.fixture
async def wires(cluster: RedisCluster) -> AsyncIterator[Connections]:
    async with connect(cluster.url, role="test") as opened:
        yield opened


@pytest.fixture
def shop(wires: Connections) -> Shop:
    return Shop(wires)


def home(cluster: RedisCluster, shop: Shop) -> tuple[int, int, int]:
    """Slot of the lane, its master, and another one."""
    slot = key_slot(shop.lane.chunks.encode())
    master = cluster.master_of(shop.lane.chunks)
    return slot, master, (master + 1) % 3


async def test_samples_flow_while_their_slot_moves(cluster: RedisCluster, shop: Shop):
    """What needs keys of both nodes waits; nothing is lost or done twice."""
    samples = await shop.offer(6)
    worker, sink = await shop.worker(), shop.sink()
    leases = await worker.claim(4)
    await worker.complete(done(leases[:2]))
    slot, _, to = home(cluster, shop)
    cluster.begin_migration(slot, to)
    cluster.move_keys(slot, to, most=4)

    completing = asyncio.ensure_future(worker.complete(done(leases[2:])))
    await asyncio.to_thread(cluster.end_migration, slot, to)

    assert await completing == [True, True]
    left = await worker.claim(6)
    assert await worker.complete(done(left)) == [True, True]
    captions = await sink.read(9)
    assert sorted(ids_of(captions)) == [sample.id for sample in samples]
    assert await sink.commit("part", b"{}", entries_of(captions)) == []
    await shop.check_books()


async def test_slot_that_stays_between_two_nodes_is_told(cluster: RedisCluster, shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    leases = await worker.claim(1)
    slot, _, to = home(cluster, shop)
    cluster.begin_migration(slot, to)
    cluster.move_keys(slot, to, most=4)

    with pytest.raises(QueueUnreachable, match="is handing keys of this job over"):
        await worker.complete(done(leases))

    cluster.end_migration(slot, to)
    assert await worker.complete(done(leases)) == [True]


async def test_wait_for_samples_goes_on_at_the_new_node(cluster: RedisCluster, shop: Shop):
    stream, wires = "{job:0}:stream", shop.job.connections
    slot, master, to = home(cluster, shop)
    await wires.commands.xgroup_create(stream, "g", mkstream=True)
    waiting = asyncio.ensure_future(wires.blocking.xreadgroup("g", "me", {stream: ">"}, block=5000))
    at = cluster.masters[master]
    await until(lambda: "blocked_clients:1" in at.cli("INFO", "clients"))
    await asyncio.to_thread(cluster.migrate_slot, slot, to)
    await wires.commands.xadd(stream, {"a": "b"})

    [(_, entries)] = await waiting
    assert entries[0][1] == {b"a": b"b"}


async def test_replica_that_takes_over_is_found_and_noticed(cluster: RedisCluster, shop: Shop):
    """Whoever relies on what the dead master had said is told that it may be forgotten."""
    await shop.caption(3)
    sink = shop.sink()
    epoch, captions = await shop.job.epoch(), await sink.read(3)
    _, master, _ = home(cluster, shop)
    cluster.masters[master].cli("WAIT", 1, 5000)
    await asyncio.to_thread(cluster.kill_master, master)

    with pytest.raises(QueueForgot):
        await eventually(lambda: sink.commit("part", b"{}", entries_of(captions), epoch=epoch))
    now = await shop.job.epoch()
    assert now != epoch
    assert await sink.commit("part", b"{}", entries_of(captions), epoch=now) == []
    await shop.check_books()
    await asyncio.to_thread(cluster.revive_replica, master)


async def test_replica_leads_to_the_masters(cluster: RedisCluster):
    async with connect(cluster.replicas[0].url, role="test") as wires:
        facts = await check_server(wires.commands)
        await Shop(wires).caption(2)

    assert not facts.replica


async def test_any_living_node_leads_in(cluster: RedisCluster):
    url = f"redis://127.0.0.1:{free_port()},127.0.0.1:{cluster.masters[1].port}"
    async with connect(url, role="test") as wires:
        await Shop(wires).caption(2)


async def test_every_master_is_looked_at(cluster: RedisCluster, wires: Connections):
    odd = cluster.masters[2]
    odd.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    warnings = (await check_server(wires.commands)).warnings
    odd.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")

    assert [warning.partition(": ")[0] for warning in warnings] == [f"127.0.0.1:{odd.port}"]


async def test_slots_that_nobody_serves_are_told(tmp_path: Path):
    with RedisCluster(tmp_path, masters=1) as cluster:
        cluster.masters[0].cli("CLUSTER", "DELSLOTSRANGE", 0, 9000)
        async with connect(cluster.url, role="test") as wires:
            shop = Shop(wires)
            with pytest.raises(QueueUnreachable, match="no node serves some slots"):
                await eventually(shop.job.counts)


async def test_several_servers_that_are_no_cluster_are_refused(redis_server: RedisServer):
    port = redis_server.port
    async with connect(f"redis://127.0.0.1:{port},localhost:{port}", role="test") as wires:
        with pytest.raises(QueueUnfit, match="name it alone"), translated():
            await wires.commands.ping()


async def test_database_of_a_cluster_has_no_number(cluster: RedisCluster):
    url = cluster.masters[0].url.removesuffix("0") + "1"
    async with connect(url, role="test") as wires:
        with pytest.raises(QueueUnfit, match="only the database 0"), translated():
            await wires.commands.ping()


async def test_command_whose_answer_is_lost_is_not_repeated_on_a_cluster():
    """Nor on another node."""
    seen: list[bytes] = []

    async def take_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while seen.count(b"XADD") < 1 and (line := (await reader.readline()).strip()):
            seen.append(line)
            if line == b"CLIENT":  # the greetings of a new connection
                writer.write(b"+OK\r\n")
            if line == b"SLOTS":
                writer.write(b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % port)

    async with (
        talking(take_and_hang_up) as port,
        connect(f"redis://127.0.0.1:{port},localhost:{port}", role="test") as wires,
    ):
        with pytest.raises(QueueUnreachable), translated():
            await wires.commands.xadd("s", {"a": "b"})

    assert seen.count(b"XADD") == 1


@pytest.mark.parametrize("deed", ["moved", "killed"])
async def test_offers_find_the_node_that_has_their_slot_now(
    cluster: RedisCluster, shop: Shop, deed: str
):
    """Though nothing else asks where that is."""
    await shop.plan(4)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    offers = offers_of(lease.chunk)
    assert (await feeder.offer(lease, offers[:2], PLENTY)).status == "ok"
    slot, master, to = home(cluster, shop)
    if deed == "moved":
        await asyncio.to_thread(cluster.migrate_slot, slot, to)
    else:
        cluster.masters[master].cli("WAIT", 1, 5000)
        await asyncio.to_thread(cluster.kill_master, master)

    rest = replace(lease, cursor=2)
    offered = await eventually(lambda: feeder.offer(rest, offers[2:], PLENTY))

    assert offered.status == "ok"
    assert await shop.redis.xlen(shop.lane.images) == 4
    await shop.check_books()
    if deed == "killed":
        await asyncio.to_thread(cluster.revive_replica, master)


async def eventually(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again while the nodes do not agree, as the roles do."""
    async with asyncio.timeout(_UNTIL_AGREED):
        while True:
            try:
                return await ask()
            except QueueUnreachable as exc:
                if "whole" in str(exc):
                    raise
            await asyncio.sleep(0.05)
