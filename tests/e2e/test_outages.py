"""Redis goes away, forgets or refuses, in the middle of a job: the roles go on by themselves."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, Ended, Running, wait_until
from tests.e2e.jobs import GROUPS
from tests.e2e.pictures import digests, rows, said
from tests.e2e.switch import Switch
from tests.e2e.test_stops import KILLING, STREAM_OF, Shop
from tests.redis_server import RedisServer

SAMPLES = 300
AWAY = 13.0  # seconds: longer than a lease, and than a client waits for an answer


@pytest.fixture
def shop(desk: Desk, own_server: RedisServer) -> Shop:
    """A job on a server of its own."""
    return Shop(desk, own_server.url, SAMPLES, **KILLING)


@pytest.fixture
def roles(shop: Shop) -> dict[str, Running]:
    """One role of each kind, in the middle of it."""
    running = {role: shop.start(role) for role in STREAM_OF}
    shop.job.wait_for("captioned", 80)
    return running


def assert_complete(shop: Shop, roles: dict[str, Running]) -> dict[str, Ended]:
    """Each role ends well, and each image has one caption, its own."""
    ended = {role: running.wait() for role, running in roles.items()}
    assert {role: end.code for role, end in ended.items()} == dict.fromkeys(roles, 0)
    assert said(rows(shop.parts)) == sorted(digests(shop.images).items())
    assert list(shop.parts.glob(".part-*")) == []
    assert set(shop.job.lengths().values()) == {0}
    return ended


def test_redis_that_does_not_answer_for_a_while(
    shop: Shop, roles: dict[str, Running], own_server: RedisServer
):
    own_server.pause()
    time.sleep(AWAY)  # the outage itself
    own_server.resume()

    ended = assert_complete(shop, roles)

    for role, end in ended.items():
        assert "did not answer in time. It may come back by itself." in end.err, role
        assert "Next try in" in end.err, role
    assert {row["attempt"] for row in rows(shop.parts)} <= {1, 2}


@pytest.fixture(params=["everysec", "always"])
def killable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server that writes its AOF in one of the ways."""
    with RedisServer(tmp_path / "redis", "--appendfsync", request.param) as server:
        yield server


def test_redis_that_is_killed_again_and_again(desk: Desk, killable: RedisServer):
    shop = Shop(desk, killable.url, SAMPLES, **KILLING)
    running = {role: shop.start(role) for role in STREAM_OF}
    for share in range(1, 5):
        shop.job.wait_for("captioned", SAMPLES * share // 6)
        killable.kill()
        killable.start()

    assert_complete(shop, running)


def test_redis_without_memory(shop: Shop, roles: dict[str, Running], own_server: RedisServer):
    """What is in flight leaves nevertheless; what enters waits."""
    own_server.cli("CONFIG", "SET", "maxmemory", "1mb")
    wait_until(lambda: "has no memory left" in roles["feed"].err, "a feeder that waits")
    wait_until(lambda: shop.job.length("samples:caption") == 0, "what was offered to be captioned")
    own_server.cli("CONFIG", "SET", "maxmemory", "0")

    assert_complete(shop, roles)


def test_groups_that_are_gone(shop: Shop, roles: dict[str, Running]):
    for stream, group in GROUPS.items():
        shop.job.cli("XGROUP", "DESTROY", shop.job.key(stream), group)

    assert_complete(shop, roles)


def test_fail_over_that_loses_the_last_second(desk: Desk, tmp_path: Path):
    with (
        RedisServer(tmp_path / "first") as first,
        RedisServer(tmp_path / "second") as second,
        Switch(first.port) as switch,
    ):
        shop = Shop(desk, switch.url, SAMPLES, **KILLING)
        second.cli("REPLICAOF", "127.0.0.1", first.port)
        running = {role: shop.start(role) for role in STREAM_OF}
        shop.job.wait_for("captioned", 80)
        second.cli("REPLICAOF", "NO", "ONE")
        shop.job.wait_for("captioned", 160)  # of which the second server hears nothing
        switch.lead_to(second.port)
        first.kill()

        assert_complete(shop, running)
