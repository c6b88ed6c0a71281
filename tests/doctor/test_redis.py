"""The doctor and Redis: each fault of a real server is found, with its cure."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from caption_flow.doctor.clocks import check_clocks, members_ahead
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Member
from tests.doctor.old_redis import old_redis
from tests.doctor.practice import SIMULATED, Practice
from tests.made import settings
from tests.redis_server import RedisServer, free_port
from tests.roles import JOB, Roles


def config_set(server: RedisServer, name: str, value: str) -> None:
    assert server.cli("CONFIG", "SET", name, value) == "OK"


def test_where_all_is_well_nothing_is_wrong(practice: Practice, redis_url: str):
    report = practice.examine("photos", "--redis", redis_url, *SIMULATED)

    assert report.bad() == []
    assert report.code == 0
    assert "Redis" in report.of("redis")["said"]
    assert "5 samples" in report.of("data set")["said"]
    assert "within" in report.of("clocks")["said"]


def test_server_that_would_evict_is_found(practice: Practice, own_server: RedisServer):
    config_set(own_server, "maxmemory", "2gb")
    config_set(own_server, "maxmemory-policy", "allkeys-lru")

    report = practice.examine("photos", "--redis", own_server.url, *SIMULATED)

    said, cure = report.only("redis", "problem")
    assert "drops samples when its memory is full (maxmemory-policy allkeys-lru)" in said
    assert f"-p {own_server.port} CONFIG SET maxmemory-policy noeviction" in cure


def test_server_that_keeps_nothing_on_disk_is_found(practice: Practice, own_server: RedisServer):
    config_set(own_server, "appendonly", "no")

    report = practice.examine("photos", "--redis", own_server.url, *SIMULATED)

    said, cure = report.only("redis", "warning")
    assert said == "AOF and snapshots are off: a restart repeats all that is not in parts."
    assert f"-p {own_server.port} CONFIG SET appendonly yes" in cure


def test_memory_too_small_for_the_budget_is_found(practice: Practice, own_server: RedisServer):
    config_set(own_server, "maxmemory", "100mb")

    report = practice.examine("photos", "--redis", own_server.url, *SIMULATED)

    said, cure = report.only("redis", "warning")
    assert "may use 100 MiB (maxmemory), and this job up to 256 MiB" in said
    assert "Give it twice that, or the job less (budget.bytes)" in cure


def test_server_that_is_too_old_is_found(practice: Practice):
    with old_redis() as url:
        report = practice.examine("photos", "--redis", url, *SIMULATED)

    said, cure = report.only("redis", "problem")
    assert "is Redis 6.2.14, which lacks commands we need" in said
    assert "Use Redis 7.0, Valkey 7.2 or later" in cure


def test_replica_is_found(practice: Practice, own_server: RedisServer):
    own_server.cli("REPLICAOF", "127.0.0.1", free_port())

    report = practice.examine("photos", "--redis", own_server.url, *SIMULATED)

    said, cure = report.only("redis", "warning")
    assert said == "The server is a replica and refuses writes."
    assert cure == "Point `redis` at its primary."


def test_server_that_does_not_answer_is_found(practice: Practice):
    port = free_port()

    report = practice.examine("photos", "--redis", f"redis://127.0.0.1:{port}", *SIMULATED)

    said, cure = report.only("redis", "problem")
    assert f"No answer from 127.0.0.1:{port}" in said
    assert cure.startswith("Is it up")


async def make_job(url: str, folder: Path, dataset: str, *members: Member) -> None:
    async with connect(url, role="test") as connections:
        roles = Roles(connections, folder)
        await roles.feed_queue().publish(settings().encode(), dataset)
        for member in members:
            await RedisJob(connections, JOB).beat(member)


def word(name: str, ahead: float = 0.0) -> Member:
    """Of a process of a host whose clock is so many seconds ahead of the server's."""
    figures = {"clock_ahead": ahead} if ahead else {}
    return Member("worker", name, "host-a", 1, 0.0, 0.0, "working", figures)


@pytest.mark.parametrize(("ahead", "way"), [(600.0, "ahead of"), (-600.0, "behind")])
def test_clock_of_a_worker_that_is_off_is_found(
    practice: Practice,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
    way: str,
):
    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + ahead)
    with monkeypatch.context() as there:
        there.setattr("caption_flow.queue.job.time", clock)
        rig = replace(word("rig"), seen=clock.time(), started=clock.time())
        asyncio.run(make_job(redis_url, practice.folder, "photos", rig))

    report = practice.examine("--redis", redis_url, "--job", JOB, *SIMULATED)

    said, cure = report.only("clocks", "problem")
    assert f"The clock of host-a (worker rig) is 600 s {way} that of this host." in said
    assert "timedatectl set-ntp true" in cure


def test_clock_of_a_proxy_is_not_taken_for_that_of_who_comes_through_it():
    members = word("rig", -9.0), word("ann/rig", 600.0), word("near", 3.0), word("right")

    assert dict(members_ahead(members)) == {"host-a (worker rig)": -9.0}


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.4, "ok"), (-4.0, "ok"), (20.0, "warning"), (-3600.0, "problem")]
)
def test_clocks_are_apart_by_how_much_it_hurts(seconds: float, state: str):
    [found] = check_clocks({"the proxy": seconds})

    assert found.state == state


def test_name_of_another_data_set_is_found(practice: Practice, redis_url: str):
    asyncio.run(make_job(redis_url, practice.folder, "folder:/elsewhere"))

    report = practice.examine("photos", "--redis", redis_url, "--job", JOB, *SIMULATED)

    said, cure = report.only("job", "problem")
    assert f'The job "{JOB}" there captions folder:/elsewhere, and not folder:' in said
    assert "Name another job with --job" in cure


def test_worker_is_looked_at_by_what_its_own_document_and_its_job_say(
    practice: Practice, redis_url: str
):
    asyncio.run(make_job(redis_url, practice.folder, "photos"))
    (practice.folder / "worker.yaml").write_text(f"redis: {redis_url}\ngpu_id: 0\n")

    report = practice.examine()

    assert report.bad() == []
    assert report.of("document")["said"] == "worker.yaml can be read."
    assert report.of("job")["said"].startswith(f'"{JOB}": 0 of 0 planned samples captioned')
    assert report.of("engine")["said"].startswith("The engine is simulated")
    assert report.of("data dir")["state"] == report.of("data set")["state"] == "skipped"
