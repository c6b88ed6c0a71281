"""Chaos on a Redis Cluster, the short form: masters die, lanes move, nothing is lost."""

from pathlib import Path

from tests.chaos.mischief import REDIS
from tests.chaos.plan import Plan
from tests.chaos.report import chaos

PLAN = Plan(
    seed=7,
    samples=1_500,
    kills=4,
    remote=0,
    proxies=0,
    feeders=1,
    sinks=1,
    flush=0,
    ungroup=0,
    failover=1,
    cluster=True,
    migrate=2,
    lanes=4,
)


def test_each_sample_is_captioned_or_dead_once_on_a_cluster(tmp_path: Path):
    report = chaos(PLAN, tmp_path)

    assert report.complaints() == [], "\n".join(report.lines())
    assert {"migrate", "failover"} <= {what for what, whom in report.ending.deeds if whom == REDIS}
    assert report.ending.estate.samples, "no worker that was killed had anything in hand"
