"""Command line: how a job is going, as a bar on a terminal or as lines elsewhere."""

import time

from caption_flow.cli.bar import Bar
from caption_flow.cli.rate import Rate
from caption_flow.cli.saying import say
from caption_flow.queue.ports import Snapshot

LINE_SECONDS = 30.0  # between two lines where there is no terminal


class JobProgress:
    """Shows snapshots of a job; a context."""

    def __init__(self) -> None:
        self._bar = Bar()
        self._rate = Rate()
        self._line_at = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> "JobProgress":
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def show(self, snapshot: Snapshot) -> None:
        """Show how the job stands now."""
        counts = snapshot.counts
        self._rate.note(counts)
        rate, left = self._rate.now, self._rate.left(counts)
        settled = counts.completed + counts.dead
        words = (
            f"{rate:,.1f}/s" if rate else "",
            f"{_clock(left)} left" if left else "",
            f"{counts.dead:,} dead letters" if counts.dead else "",
        )
        doing = _doing(snapshot)
        self._bar.show(doing, settled, counts.planned or None, *words)
        if not self._bar.shown and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            said = (f"{settled:,} of {counts.planned:,}", *filter(None, words))
            say(f"{doing}: {', '.join(said)}")


def _doing(snapshot: Snapshot) -> str:
    if snapshot.paused:
        return "paused"
    workers = [member for member in snapshot.members if member.role == "worker"]
    if workers and all(member.state == "starting" for member in workers):
        return "loading the model"
    return "captioning"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
