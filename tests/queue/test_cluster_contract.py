"""The contract of the queues, kept by a cluster: their own tests, with three masters.

The job, its lane and the list of jobs lie on one master each.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from caption_flow.queue import consumer, keys
from caption_flow.queue.connect import Connections, connect
from caption_flow.queue.keys import JobKeys, LaneKeys
from tests.queue import (
    test_commit,
    test_complete,
    test_dead,
    test_offer,
    test_orders,
    test_own_leases,
    test_settings,
)
from tests.redis_cluster import RedisCluster

# They take an answer off the line to one server, and the scripts off it.
_ELSEWHERE = {
    "test_act_after_a_lost_answer_is_done_once",
    "test_offer_enters_where_the_server_has_forgotten_the_script",
}
for _module in (
    *(test_commit, test_complete, test_dead, test_offer, test_orders),
    *(test_own_leases, test_settings),
):
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_") and _name not in _ELSEWHERE:
            _of = _module.__name__.rpartition("test_")[2]
            globals()[f"test_{_of}_{_name.removeprefix('test_')}"] = _test


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
async def wires(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connections]:
    """Connections to the emptied cluster by way of one node; nobody waits long for anything."""
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)
    cluster.flush()
    async with connect(cluster.masters[0].url, role="test") as opened:
        yield opened


def test_job_and_lane_and_list_of_jobs_lie_on_different_masters(cluster: RedisCluster):
    stand = (LaneKeys("job").chunks, JobKeys("job").settings, keys.JOBS)

    assert len({cluster.master_of(key) for key in stand}) == 3
