"""Overview: how a job stands, in a few lines."""

import io

from rich.console import Console, Group

from caption_flow.cli import overview
from caption_flow.model import Counts
from caption_flow.queue.ports import Moment, Snapshot

NOW = 1_800_000_000.0


def pace_after(seconds: float) -> str:
    """Tell the pace of a job that has captioned 60 samples since its first note."""
    snapshot = Snapshot(
        NOW, Counts(planned=100, completed=60), history=(Moment(NOW - seconds, 0, 0, 0),)
    )
    out = io.StringIO()
    Console(file=out, width=100).print(Group(*overview.pace(snapshot)))
    return out.getvalue()


def test_job_of_a_few_seconds_has_no_rate_yet():
    assert "1 min -   5 min -   60 min -" in pace_after(3)
    assert "1 min 10.0/s   5 min 10.0/s   60 min 10.0/s" in pace_after(6)
