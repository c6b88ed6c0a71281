"""Screen: the panes of a job on a terminal, until somebody quits."""

import asyncio
import time
from collections import deque
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from caption_flow.cli import overview
from caption_flow.cli.screen.board_pane import BoardPane
from caption_flow.cli.screen.caption_pane import CaptionPane
from caption_flow.cli.screen.dashboard import Dashboard
from caption_flow.cli.screen.help import help_on_keys
from caption_flow.cli.screen.job_pane import JobPane
from caption_flow.cli.screen.letter_pane import LetterPane
from caption_flow.cli.screen.lookout import Lookout, Sight
from caption_flow.cli.screen.pane import Area, Pane, nothing
from caption_flow.cli.screen.stream_pane import StreamPane
from caption_flow.cli.screen.terminal import Terminal
from caption_flow.cli.screen.worker_pane import WorkerPane
from caption_flow.config import MonitorConfig
from caption_flow.monitor import wording
from caption_flow.plain import printable
from caption_flow.queue.office import Office

TICK_SECONDS = 1.5  # between two drawings, at most: what is seen gets older
_TIGHT = 20  # lines; a lower screen has none to spare


class Screen:
    """What is on the terminal, and what keys do with it."""

    def __init__(self, office: Office, config: MonitorConfig) -> None:
        self._news = asyncio.Event()
        self._lookout = Lookout(
            office,
            every=config.refresh_rate,
            most=config.max_activity_items,
            seen=self._news.set,
        )
        self._config = config
        self._panes: list[Pane] = []
        self._at = 0  # number of the pane
        self._keys: deque[str] = deque()
        self._helping = False
        self._held: Sight | None = None  # what is shown while the display is paused
        self._over = False

    async def run(self) -> None:
        """Show the job until somebody quits; raises what keeps us from it for good."""
        with Terminal(self._press) as terminal:
            self._panes = _panes(self._config, ascii_only=terminal.ascii_only)
            async with self._lookout:
                while not self._over and self._lookout.failure is None:
                    terminal.draw(self._drawn(terminal.height))
                    await self._wait()
                    self._obey()
        if self._lookout.failure is not None:
            raise self._lookout.failure

    def _press(self, key: str) -> None:
        self._keys.append(key)
        self._news.set()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await self._news.wait()
        self._news.clear()

    def _obey(self) -> None:
        while self._keys:
            self._do(self._keys.popleft())

    def _do(self, key: str) -> None:
        if key in {"q", "quit"}:
            self._over = True
        elif key in {"?", "h"} or (key == "escape" and self._helping):
            self._helping = not self._helping
        elif key == "p":
            self._held = None if self._held else self._lookout.sight
        elif key in _TURNS:
            self._turn((self._at + _TURNS[key]) % len(self._panes))
        elif key.isdecimal() and 1 <= int(key) <= len(self._panes):
            self._turn(int(key) - 1)
        else:
            self._panes[self._at].press(key)

    def _turn(self, pane: int) -> None:
        self._at, self._helping = pane, False

    def _drawn(self, height: int) -> RenderableType:
        sight = self._held or self._lookout.sight
        pane = self._panes[self._at]
        heading = [self._top(sight), self._tabs(), Text()][: 3 if height >= _TIGHT else 2]
        whole = Layout()
        whole.split_column(
            Layout(Group(*heading), size=len(heading)),
            Layout(self._body(sight, pane)),
            Layout(self._bottom(sight, pane), size=1),
        )
        return whole

    def _body(self, sight: Sight | None, pane: Pane) -> RenderableType:
        if self._helping:
            return help_on_keys()
        return Area(pane, sight) if sight else nothing("Looking at the job …")

    def _top(self, sight: Sight | None) -> RenderableType:
        line = Table.grid(expand=True)
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(justify="right", no_wrap=True)
        job = overview.headline(sight.job, sight.snapshot) if sight else Text("caption-flow")
        line.add_row(job, Text(time.strftime("%H:%M:%S"), "dim"))
        return line

    def _tabs(self) -> RenderableType:
        line = Text(no_wrap=True, overflow="ellipsis")
        for number, pane in enumerate(self._panes):
            chosen = number == self._at and not self._helping
            line.append(f" {number + 1} {pane.title} ", "reverse" if chosen else "dim")
            line.append(" ")
        return line

    def _bottom(self, sight: Sight | None, pane: Pane) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        if trouble := self._lookout.trouble:
            age = f" This is how it was {wording.span(sight.age)} ago." if sight else ""
            return line.append(f"{printable(trouble)}{age}", "bold red")
        if self._held:
            age = wording.span(self._held.age)
            return line.append(f"The display is paused since {age}; p goes on.", "bold yellow")
        hints = ("? help", "Tab pane", pane.hints, "p pause", "q quit")
        return line.append("  ".join(filter(None, hints)), "dim")


def _panes(config: MonitorConfig, *, ascii_only: bool) -> list[Pane]:
    activity: list[Pane] = [CaptionPane()] if config.max_activity_items else []
    board: list[Pane] = [BoardPane()] if config.show_contributors else []
    return [
        _dashboard(config, ascii_only=ascii_only),
        WorkerPane(),
        StreamPane(),
        *board,
        *activity,
        LetterPane(),
    ]


def _dashboard(config: MonitorConfig, *, ascii_only: bool) -> Pane:
    job = JobPane(graph=config.show_throughput_graph, ascii_only=ascii_only)
    activity: list[Pane] = [CaptionPane(alone=False)] if config.max_activity_items else []
    workers, streams = WorkerPane(alone=False), StreamPane(alone=False)
    return Dashboard(job, streams, workers, (*activity, LetterPane(alone=False)))


_TURNS = {"tab": 1, "right": 1, "l": 1, "back tab": -1, "left": -1}
