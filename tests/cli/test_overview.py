"""Overview: how a job stands, in a few lines."""

import io

from rich.console import Console, Group

from caption_flow.cli import overview
from caption_flow.model import Counts
from caption_flow.queue.ports import Member, Moment, Snapshot

NOW = 1_800_000_000.0


def pace_after(seconds: float, *members: Member) -> str:
    """Tell the pace of a job that has captioned 60 samples since its first note."""
    history = (Moment(NOW - seconds, 0, 0, 0),)
    snapshot = Snapshot(NOW, Counts(planned=100, completed=60), members, history=history)
    out = io.StringIO()
    Console(file=out, width=100).print(Group(*overview.pace(snapshot)))
    return out.getvalue()


def test_job_of_a_few_seconds_has_no_rate_yet():
    assert "1 min -   5 min -   60 min -" in pace_after(3)
    assert "1 min 10.0/s   5 min 10.0/s   60 min 10.0/s" in pace_after(6)


def test_pace_is_told_against_the_ceiling_of_the_workers_where_they_know_it():
    worker = Member("worker", "w", "host", 1, NOW - 60, NOW, "working", {"ceiling": 12.5})

    assert "80% of the 12.5/s that the engines can make" in pace_after(6, worker)
    assert "engines can make" not in pace_after(6)
