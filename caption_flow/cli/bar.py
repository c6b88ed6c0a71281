"""Command line: how far a command is, as a bar on a terminal that is gone when the command ends.

Elsewhere there is none: nothing of it gets into files and pipes.
"""

import logging
import sys
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text


class Bar:
    """One bar on standard error; a context. It may be told from any thread."""

    def __init__(self, *, wanted: bool = True, speed: bool = False) -> None:
        """`speed`: shown too, as the bar itself sees it."""
        console = Console(file=sys.stderr)
        # Not by what rich takes for a terminal: variables of CI systems would make it one.
        self.shown = wanted and sys.stderr.isatty() and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _Count(),
            *([_Speed()] if speed else []),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
            transient=True,
            disable=not self.shown,
            redirect_stdout=False,  # results are for whoever reads them
        )
        self._task = self._progress.add_task("starting", total=None, words="")
        self._handlers: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def __enter__(self) -> "Bar":
        before = sys.stderr
        self._progress.start()
        if sys.stderr is not before:
            self._take_log_lines(before)
        return self

    def __exit__(self, *_: object) -> None:
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._progress.stop()

    def show(self, doing: str, done: int, total: int | None, *words: str) -> None:
        """Show how many are done, of how many; None: nobody knows. Empty words are left out."""
        said = "  ".join(word for word in words if word)
        self._progress.update(
            self._task, description=doing, completed=done, total=total, words=said
        )

    def see(self, doing: str, done: int, total: int | None) -> None:
        """Show it without more words."""
        self.show(doing, done, total)

    def _take_log_lines(self, stream: TextIO) -> None:
        """Print them above the bar, and not into it."""
        for handler in logging.getLogger("caption_flow").handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                self._handlers.append((handler, stream))
                handler.setStream(sys.stderr)


class _Count(ProgressColumn):
    """How many are done."""

    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f" of {int(task.total):,}"
        return Text(f"{int(task.completed):,}{of}")


class _Speed(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
