"""Command line: how a job is going, as a bar on a terminal or as lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from caption_flow.cli.rate import Rate
from caption_flow.queue.ports import Snapshot

LINE_SECONDS = 30.0  # between two lines where there is no terminal


class JobProgress:
    """Shows snapshots of a job; a context."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[dead]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, rate="", left="", dead="")
        self._rate = Rate()
        self._line_at = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> "JobProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show how the job stands now."""
        counts = snapshot.counts
        self._rate.note(counts)
        rate, left = self._rate.now, self._rate.left(counts)
        settled = counts.completed + counts.dead
        fields = {
            "rate": f"{rate:,.1f}/s" if rate else "",
            "left": f"{_clock(left)} left" if left else "",
            "dead": f"{counts.dead:,} dead letters" if counts.dead else "",
        }
        self._bar.update(
            self._task,
            description=_doing(snapshot),
            completed=settled,
            total=counts.planned or None,
            **fields,  # type: ignore[arg-type]
        )
        if not self._console.is_terminal and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            said = ", ".join(word for word in fields.values() if word)
            done = f"{settled:,} of {counts.planned:,}"
            self._console.print(f"{_doing(snapshot)}: {done}" + (f", {said}" if said else ""))


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
