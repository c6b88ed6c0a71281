"""`caption-flow view --tui`: rows a page at a time, a search over them, and one row in full."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.text import Text

from caption_flow.cli import view_drawn as drawn
from caption_flow.cli.screen.terminal import Terminal, usable
from caption_flow.dataset.gallery import Ask, Gallery, State
from caption_flow.dataset.gallery.index import Facet
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.plain import printable
from caption_flow.view.letters import Letters
from caption_flow.view.shown import dead, listed, whole

_TICK_SECONDS = 1.0  # between two looks at how far the gallery is
_SEARCH_AGAIN_SECONDS = 6.0  # between two searches for the same while rows are indexed
_FRAME = 3  # lines above and below
_OFFERED = 30  # values of each kind that can be filtered by
_KINDS = ("flag", "contributor", "stage", "finish", "model", "shard")
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}
_PAGES = {"left": -1, "page up": -1, "b": -1, "right": 1, "page down": 1, " ": 1}
_FAR = 1 << 60
_LONGEST = 1000  # characters that are typed
_HINTS = {
    "rows": "↑↓ move  ←→ page  Enter open  / search  f filter  : page  n order  d dead  q quit",
    "row": "↑↓ scroll  ←→ neighbour  Esc back  q quit",
    "filters": "↑↓ move  Enter set  Esc done  q quit",
}


def browse(name: str, gallery: Gallery, letters: Letters) -> None:
    """Show rows on this terminal until somebody quits."""
    if not usable():
        raise ConfigError("There is no terminal to draw on. Leave --tui out, or open one.")
    asyncio.run(Browser(name, gallery, letters).run())


class Browser:
    """What is on the terminal, and what keys do with it."""

    def __init__(self, name: str, gallery: Gallery, letters: Letters) -> None:
        self._name = name
        self._gallery = gallery
        self._letters = letters
        self._keys: deque[str] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._mode = "rows"  # "row", "filters"
        self._prompt: str | None = None  # "/" or ":", while something is typed
        self._typed = ""
        self._ask = Ask()
        self._dead = False  # dead letters are shown
        self._newest = False
        self._start = 0  # place of the first row that is shown
        self._at = 0  # number of the chosen one among those
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._total = 0
        self._lines: list[drawn.Line] = []  # of the row in full
        self._top = 0  # first of them that is seen
        self._options: list[tuple[Facet, str]] = []  # and how many rows have them
        self._option = 0
        self._notes: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()  # why the last key did nothing, until the next one
        self._stale = True  # what is shown has to be read
        self._seen: object = None  # how far the gallery was when it was read
        self._read_at = 0.0  # on the monotonic clock
        self._width, self._height = 80, 24

    async def run(self) -> None:
        """Show rows until somebody quits."""
        with Terminal(self._press) as terminal:
            while not self._over:
                self._measure(terminal)
                await self._read()
                terminal.draw(self._drawn())
                await self._wait()
                await self._obey()

    def _press(self, key: str) -> None:
        self._keys.append(key)
        self._news.set()

    def _measure(self, terminal: Terminal) -> None:
        size = (terminal.width, terminal.height)
        if size != (self._width, self._height):
            self._width, self._height = size
            self._stale = True
            self._mode = "rows" if self._mode == "row" else self._mode

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_SECONDS):
                await self._news.wait()
        self._news.clear()

    # Reading

    @property
    def _room(self) -> int:
        return max(1, self._height - _FRAME - drawn.HEADING)

    async def _read(self) -> None:
        """Read the page that is meant, where another is shown or more rows are there."""
        state = self._gallery.state()
        now = (state.rows, state.counted, state.generation)
        if not self._stale and (now == self._seen or self._rests(state)):
            return
        chosen = self._chosen_key()
        try:
            await (self._read_letters() if self._dead else self._read_rows())
        except CaptionFlowError as exc:
            self._rows, self._total, self._notes = (), 0, (str(exc),)
        keys = [row["key"] for row in self._rows]
        if not self._stale and chosen in keys:  # it stays chosen where others have come before it
            self._at = keys.index(chosen)
        self._at = max(0, min(self._at, len(self._rows) - 1))
        self._stale, self._seen, self._read_at = False, now, time.monotonic()

    def _rests(self, state: State) -> bool:
        """Whether what was read is left as it is for a while."""
        if self._dead:
            return True
        searching = state.indexing and not self._ask.everything
        return searching and time.monotonic() < self._read_at + _SEARCH_AGAIN_SECONDS

    def _chosen_key(self) -> str | None:
        return self._rows[self._at]["key"] if self._at < len(self._rows) else None

    async def _read_rows(self) -> None:
        page = await asyncio.to_thread(
            self._gallery.page, self._ask, self._start, self._room, newest=self._newest
        )
        self._rows = [listed(row) for row in page.rows]
        self._total, self._notes = page.total, page.notes

    async def _read_letters(self) -> None:
        seen = await self._letters.newest()
        fitting = seen.fitting(self._ask.text, "")
        shown = fitting[self._start : self._start + self._room]
        self._rows = [dead(letter) for letter in shown]
        self._total, self._notes = len(fitting), tuple(filter(None, [seen.why]))

    async def _open(self) -> None:
        if not self._rows:
            return
        row = self._rows[self._at]
        if not self._dead:
            where = (row["part"], row["number"], row["id"])
            found = await asyncio.to_thread(self._gallery.row, *where)
            row = row if found is None else whole(found)
        self._lines, self._top, self._mode = drawn.in_full(row, self._width - 1), 0, "row"

    async def _offer(self) -> None:
        self._options = []
        for kind in _KINDS:
            found = await asyncio.to_thread(self._gallery.choices, kind, "", _OFFERED)
            self._options += [((kind, one.value), f"{one.rows:,}") for one in found]
        self._option, self._mode = 0, "filters"

    # Keys

    async def _obey(self) -> None:
        while self._keys:
            key = self._keys.popleft()
            if key == "quit" or (key == "q" and self._prompt is None):
                self._over = True
                continue
            self._refused = ()
            try:
                await self._do(key)
            except CaptionFlowError as exc:
                self._refused = (str(exc),)

    async def _do(self, key: str) -> None:
        if self._prompt is not None:
            self._type(key)
        elif self._mode == "row":
            await self._in_row(key)
        elif self._mode == "filters":
            self._in_filters(key)
        else:
            await self._in_rows(key)

    async def _in_rows(self, key: str) -> None:
        if key in _STEPS:
            self._move(_STEPS[key])
        elif key in _PAGES:
            self._go(self._start + _PAGES[key] * self._room)
        elif key in {"home", "g"}:
            self._go(0)
        elif key in {"end", "G"}:
            self._go(_FAR)
        elif key == "enter":
            await self._open()
        elif key in {"/", ":"}:
            self._prompt, self._typed = key, self._ask.text if key == "/" else ""
        elif key == "f" and not self._dead:
            await self._offer()
        elif key == "n":
            self._newest = not self._newest
            self._again()
        elif key == "d":
            self._dead, self._ask = not self._dead, Ask()
            self._again()
        elif key == "escape":
            self._ask = Ask()
            self._again()

    async def _in_row(self, key: str) -> None:
        if key in _STEPS:
            most = max(0, len(self._lines) - (self._height - _FRAME))
            self._top = max(0, min(most, self._top + _STEPS[key]))
        elif key in _PAGES:
            self._move(_PAGES[key])
            await self._read()
            await self._open()
        elif key in {"escape", "enter"}:
            self._mode = "rows"

    def _in_filters(self, key: str) -> None:
        if key in _STEPS and self._options:
            self._option = (self._option + _STEPS[key]) % len(self._options)
        elif key in {"enter", " "} and self._options:
            facet, _ = self._options[self._option]
            kept = tuple(one for one in self._ask.facets if one != facet)
            self._ask = replace(
                self._ask, facets=kept if facet in self._ask.facets else (*kept, facet)
            )
        elif key in {"escape", "f"}:
            self._mode = "rows"
            self._again()

    def _type(self, key: str) -> None:
        if key == "escape":
            self._prompt = None
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif key == "enter":
            prompt, self._prompt = self._prompt, None
            if prompt == "/":
                self._ask = replace(self._ask, text=self._typed)
                self._again()
            elif self._typed.strip().isdecimal():
                self._go((int(self._typed) - 1) * self._room)
        elif len(key) == 1 and len(self._typed) < _LONGEST:
            self._typed += key

    def _move(self, step: int) -> None:
        """Choose a neighbour, on the next page where it is there."""
        at = self._at + step
        if 0 <= at < len(self._rows):
            self._at = at
        elif 0 <= self._start + at < self._total:
            self._go(self._start + step * self._room)
            self._at = 0 if step > 0 else self._room - 1

    def _go(self, start: int) -> None:
        last = max(0, (self._total - 1) // self._room * self._room)
        self._start, self._at, self._stale = max(0, min(start, last)), 0, True

    def _again(self) -> None:
        self._start, self._at, self._stale = 0, 0, True

    # Drawing

    def _drawn(self) -> RenderableType:
        whole_ = Layout()
        whole_.split_column(
            Layout(Group(self._heading(), Text()), size=2),
            Layout(self._body()),
            Layout(self._bottom(), size=1),
        )
        return whole_

    def _body(self) -> RenderableType:
        room = self._height - _FRAME
        if self._mode == "row":
            return drawn.seen(self._lines, self._top, room)
        if self._mode == "filters":
            found = [
                (f"{kind}: {_named(kind, value)}", count, (kind, value) in self._ask.facets)
                for (kind, value), count in self._options
            ]
            return drawn.options(found, self._option, room)
        if self._rows:
            return drawn.listing(self._rows, self._width, self._at)
        return Text("" if self._notes else "There is nothing to show.", "dim")

    def _heading(self) -> Text:
        state = self._gallery.state()
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(printable(self._name), "bold")
        what = "dead letters" if self._dead else "found" if not self._ask.everything else "rows"
        pages = max(1, -(-self._total // self._room))
        line.append(
            f"  {self._total:,} {what}, page {self._start // self._room + 1:,} of {pages:,}"
        )
        if self._newest and not self._dead:
            line.append(", newest first")
        asked = [
            self._ask.text,
            *(f"{kind}={_named(kind, value)}" for kind, value in self._ask.facets),
        ]
        line.append(printable("  " + " ".join(filter(None, asked))), "cyan")
        if state.indexing and not self._dead:
            line.append(f"  {state.indexed / state.rows:.0%} can be searched", "yellow")
        if state.troubles and not self._dead:
            line.append(f"  {_unread(list(state.troubles))}", "bold yellow")
        return line

    def _bottom(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        if self._prompt is not None:
            return line.append(printable(f"{self._prompt}{self._typed}"), "bold").append("█")
        trouble = self._gallery.state().trouble
        if told := " ".join(filter(None, [*self._refused, *self._notes, trouble])):
            return line.append(printable(told), "bold yellow")
        return line.append(_HINTS[self._mode], "dim")


def _named(kind: str, value: str) -> str:
    """Say what rows are filtered by, also where it is that they have none."""
    return value or ("own workers" if kind == "contributor" else "(none)")


def _unread(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - 1:,} more" if len(parts) > 1 else ""
    return f"cannot be read: {printable(parts[0])}{more}"
