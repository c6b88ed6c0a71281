"""Keys: what a script touches lies in one slot of a Redis Cluster, and is named in its KEYS."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest
from redis.crc import key_slot

from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.connect import connect
from caption_flow.queue.keys import LaneKeys
from caption_flow.queue.shards import MOST
from tests.queue.shop import (
    Shop,
    chunk_of,
    deferred,
    done,
    entries_of,
    failed,
    renew,
    retry_of,
)
from tests.redis_server import RedisServer

ALL = sorted(
    (file.name, file.read_text(encoding="utf-8"))
    for file in (files("caption_flow.queue") / "lua").iterdir()
)
SHARED = "shard.lua"  # what others begin with
SCRIPTS = [(name, text) for name, text in ALL if name != SHARED]

_CALL = re.compile(
    r"redis\.p?call\('(\w+)'(?:,\s*'(?:STREAM|CREATE|DELCONSUMER)')?(?:,\s*([^,)]+))?"
)
_ALIASES = re.compile(r"^local ([\w, ]+) = (KEYS\[\d\](?:, KEYS\[\d\])*)$", re.MULTILINE)
_KEY = re.compile(r"KEYS\[\w+\]")
_SHARED_CALL = re.compile(r"^ *(?:keep_shard\((.+?), (.+?)|count_shard\((.+?)), ", re.MULTILINE)


def _keys_of(lane: LaneKeys) -> list[str]:
    """Find every key by the properties of LaneKeys, so that a new one is not forgotten."""
    names = [name for name, what in vars(LaneKeys).items() if isinstance(what, property)]
    return [getattr(lane, name) for name in names] + [lane.samples("a"), lane.samples("b")]


@pytest.mark.parametrize("job", ["job", "été", "with space", "a:b", "{curly}", "a}b"])
def test_keys_of_a_lane_share_a_slot(job: str):
    keys = _keys_of(LaneKeys(job))

    assert len(set(keys)) == len(keys) >= 10
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_lanes_differ_in_their_slots():
    slots = {key_slot(LaneKeys("job", lane).chunks.encode()) for lane in range(8)}

    assert len(slots) > 1


@pytest.mark.parametrize(("name", "text"), SCRIPTS)
def test_script_touches_its_keys_only(name: str, text: str):
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    named = {
        alias.strip(): key
        for aliases, keys in _ALIASES.findall(code)
        for alias, key in zip(aliases.split(","), keys.split(","), strict=True)
    }
    calls = _CALL.findall(code)
    assert len(calls) == code.count("redis.call") + code.count("redis.pcall")

    strangers = [
        (command, key)
        for command, key in calls
        if command not in {"TIME", "INFO"} and key not in named and not _KEY.fullmatch(key)
    ]
    assert strangers == [], name
    passed = [key for call in _SHARED_CALL.findall(code) for key in call if key]
    assert all(map(_KEY.fullmatch, passed)), name
    assert ("-- WITH  shard\n" in text) == ("_shard(" in code or "shard_of(" in code), name


def test_what_scripts_share_touches_what_it_is_given():
    text = dict(ALL)[SHARED]

    given = {key for _, key in _CALL.findall(text)}
    assert given == {"shards", "names"}
    assert f"MOST_SHARDS = {MOST} " in text


@pytest.mark.parametrize(("name", "text"), SCRIPTS)
def test_script_says_on_top_what_it_takes(name: str, text: str):
    head = text[: text.index("\nlocal ")]
    numbers = {int(n) for n in re.findall(r"KEYS\[(\d)\]", text)}

    assert text.startswith(f"-- {name.removesuffix('.lua')}: ")
    for number in numbers:
        assert re.search(rf"-- KEYS.*\b{number} |--   .*\b{number} ", head)
    assert "-- ARGV" in head


@pytest.fixture
async def cluster(tmp_path: Path, server_binary: str) -> AsyncIterator[Shop]:
    """A cluster of one node, which refuses commands and scripts across slots."""
    options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
    with RedisServer(tmp_path, *options, binary=server_binary) as server:
        server.cli("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while "cluster_state:ok" not in server.cli("CLUSTER", "INFO"):
            pass
        async with connect(server.url, role="test") as connections:
            yield Shop(connections, "look", "tell")


async def test_job_runs_on_a_cluster(cluster: Shop):
    await cluster.feeder().publish(b"{}", "data")
    await cluster.caption(2)
    await cluster.offer(3)
    worker, sink = await cluster.worker(), cluster.sink()
    leases = await worker.claim(3)
    await renew(worker, leases)
    await worker.fail(failed(leases[:1]))
    await worker.defer(deferred(leases[1:2]))
    await worker.release(await worker.claim(1))
    await worker.complete(done(leases[2:]))
    await sink.commit("part", b"{}", entries_of(await sink.read(5)))
    await worker.close()

    counts = await cluster.job.counts()
    assert (counts.captioned, counts.dead, counts.in_flight) == (2, 1, 2)
    await cluster.check_books()


async def test_sample_is_looked_at_alone_on_a_cluster(cluster: Shop):
    await cluster.plan(1)
    feeder = cluster.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None

    assert (await feeder.begin_look(lease)).looks == 1


async def test_books_are_mended_on_a_cluster(cluster: Shop):
    await cluster.offer(2)
    queue = RedisAuditQueue(cluster.job, stages=cluster.stages, lease_seconds=1.0)
    [entry, _] = await cluster.entries(cluster.lane.samples("look"))
    await cluster.redis.xdel(cluster.lane.samples("look"), entry)

    await queue.disown()
    assert await queue.reissue(chunk_of("fix", 1), await queue.mark(), "1", most=9) == "ok"
    await queue.mend_books()

    await cluster.check_books()


async def test_dead_letters_are_retried_and_dropped_on_a_cluster(cluster: Shop):
    first, second = await cluster.give_up(2)

    assert await cluster.dead.retry(retry_of([first]), [first]) == set()
    assert await cluster.dead.drop([second]) == 1
    assert await cluster.feeder().dead_ids() == [first.sample.id, second.sample.id]
    await cluster.check_books()
