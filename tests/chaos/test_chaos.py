"""Chaos, the short form: more than a minute in which everything is killed, and nothing is lost."""

from pathlib import Path

import pytest

from tests.chaos import run
from tests.chaos.mischief import DEADLY, LINE, REDIS, ROLES
from tests.chaos.plan import Plan
from tests.chaos.report import Report, chaos
from tests.chaos.run import Stalled
from tests.chaos.verdict import Verdict

KILLS = 45
SAMPLES = 12_000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One run; its place is beside the tests' own, and not below a folder that one of them has."""
    return chaos(Plan(samples=SAMPLES, kills=KILLS), tmp_path_factory.mktemp("chaos"))


def test_each_sample_is_captioned_or_dead_once_and_rightly(report: Report):
    assert report.verdict == Verdict(lost=[], doubled=[], wrong=[])
    assert len(report.found.rows) + len(report.found.letters) == SAMPLES


def test_nothing_else_is_amiss(report: Report):
    """Nobody ended unasked, and the books balance."""
    assert report.complaints() == [], "\n".join(report.lines())


def test_so_many_died_and_of_every_kind(report: Report):
    assert report.kills >= KILLS
    assert {whom for what, whom in report.ending.deeds if what in DEADLY} == {*ROLES, REDIS}


def test_some_stood_still_and_some_were_stopped(report: Report):
    paused, stopped = (
        {w for k, w in report.ending.deeds if k == kind} for kind in ("pause", "stop")
    )

    assert {"worker", "remote", "proxy", "sink", REDIS} <= paused
    assert {"worker", "remote", "proxy", "sink"} <= stopped


def test_line_between_remote_workers_and_proxies_was_disturbed(report: Report):
    done = {what for what, whom in report.ending.deeds if whom == LINE}

    assert done == {"cut", "halt", "die"}


def test_some_rows_are_of_contributors_and_some_of_our_own(report: Report):
    assert {"", "ada", "bob"} <= set(report.made)


def test_work_of_the_dead_was_done_by_others(report: Report):
    assert any(row.attempt > 1 for row in report.found.rows)


def test_verdict_would_have_seen_what_was_lost_doubled_or_wrong(report: Report):
    assert report.unseen == []


def test_run_that_stands_still_is_told_with_what_stands_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "STALL", 5.0)

    with pytest.raises(Stalled) as told:
        chaos(
            Plan(samples=300, kills=0, workers=0, remote=0, flush=0, ungroup=0, failover=0),
            tmp_path,
        )

    assert "Nothing has moved for 5 s" in str(told.value)
    assert "'offered': 300" in str(told.value)
    assert "sink-0, on True" in str(told.value)


def test_seed_decides_what_is_done_to_whom():
    assert Plan(seed=3).deeds() == Plan(seed=3).deeds()
    assert Plan(seed=3).deeds() != Plan(seed=4).deeds()


@pytest.mark.parametrize("kills", [1, 7, 60, 1000])
def test_plan_kills_as_often_as_asked(kills: int):
    deeds = Plan(kills=kills).deeds()

    assert sum(deed.what in DEADLY for deed in deeds) == kills
