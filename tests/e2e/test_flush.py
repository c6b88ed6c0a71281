"""Redis is emptied in the middle of a job: what no part holds is captioned, and nothing else."""

from pathlib import Path
from typing import Any

from tests.e2e.desk import Desk
from tests.e2e.pictures import digests, read, rows, said
from tests.e2e.test_stops import Shop
from tests.redis_server import RedisServer

SAMPLES = 8_000
GIVEN: dict[str, object] = {
    "simulated__latency": "[0.01, 0.02]",
    "vllm__batch_size": 32,
    "budget__samples": 2_000,
    "storage__rows_per_part": 500,
}


def captioned_at(files: list[Path]) -> dict[str, Any]:
    return {row["id"]: row["captioned_at"] for file in files for row in read(file)}


def test_job_that_redis_forgot_is_completed_and_no_part_is_done_again(
    desk: Desk, own_server: RedisServer
):
    shop = Shop(desk, own_server.url, SAMPLES, **GIVEN)
    running = {role: shop.start(role) for role in ("feed", "worker", "sink")}
    running["second"] = shop.start("worker", "--name", "second")
    shop.job.wait_for("captioned", SAMPLES // 3)

    own_server.cli("FLUSHALL")
    before = captioned_at(sorted(shop.parts.glob("*.parquet")))
    ended = {role: command.wait() for role, command in running.items()}

    assert {role: end.code for role, end in ended.items()} == dict.fromkeys(running, 0)
    found = rows(shop.parts)
    assert said(found) == sorted(digests(shop.images).items())
    assert len(before) >= SAMPLES // 3
    assert {row["id"]: row["captioned_at"] for row in found}.items() >= before.items()
    assert "stand in a part already" not in ended["sink"].err
    assert shop.job.count("planned") <= SAMPLES - len(before)
