"""Screen: what a pane is, and what those that list something share."""

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.rule import Rule
from rich.text import Text

from caption_flow.cli.overview import labelled
from caption_flow.cli.screen.lookout import Sight
from caption_flow.monitor.window import Window
from caption_flow.plain import printable

T = TypeVar("T")

_LOWEST = 14  # lines; a list that has fewer has them for itself
_SHARE = 3  # of the lines one part is for what is chosen
_MOST = 12  # lines for that
_LONGEST = 4_000  # characters of a text that are shown


class Pane(Protocol):
    """One of the things that a screen can show."""

    title: str
    hints: str  # its own keys, for the last line

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show a job in so many columns and lines."""
        ...

    def press(self, key: str) -> None:
        """Do as a key says."""
        ...


class Area(Struct, frozen=True):
    """A pane in the room that it has."""

    pane: Pane
    sight: Sight

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        drawn = self.pane.draw(self.sight, options.max_width, height)
        # Not yielded as it is: what is within would not be told of the height.
        yield from console.render(drawn, options.update(height=height))


class Scrolled:
    """The keys that move in a list."""

    hints = "↑↓ move"

    def __init__(self, *, alone: bool = True) -> None:
        """`alone`: it has the screen and the keys; else nothing of it is chosen."""
        self.window = Window()
        self.alone = alone

    def press(self, key: str) -> None:
        """Move."""
        if key in _LINES:
            self.window.move(_LINES[key])
        elif key in _PAGES:
            self.window.page(_PAGES[key])

    def room(self, height: int, *, beside: int = 0) -> "Room":
        """Share so many lines, after the heading of the list and `beside` for something else."""
        chosen = min(height // _SHARE, _MOST) if self.alone and height >= _LOWEST else 0
        return Room(max(1, height - chosen - beside - 1), chosen)

    def looked(self, keys: Sequence[Hashable], room: "Room") -> tuple[int, int, int | None]:
        """Tell the first line that is seen, the chosen one, and where that is to stand out."""
        top, at = self.window.look(keys, room.listed)
        return top, at, at - top if self.alone else None

    def scrolled(self, items: Sequence[T], lines: int) -> Sequence[T]:
        """Give those that are seen in so many lines, where none is chosen."""
        lines = max(1, lines)
        places = range(max(0, len(items) - lines) + 1)
        _, top = self.window.look(places, lines)
        return items[top : top + lines]


class Room(Struct, frozen=True):
    """How the lines of a pane are shared by a list, its heading, and what is chosen of it."""

    listed: int
    chosen: int

    def filled(self, table: RenderableType, title: str, told: Sequence[RenderableType]) -> Layout:
        """Put a list above what is told of the chosen one."""
        whole = Layout()
        if not self.chosen:
            whole.update(table)
            return whole
        name = Rule(printable(title), align="left", style="dim")
        whole.split_column(Layout(table), Layout(Group(name, *told), size=self.chosen))
        return whole


def nothing(told: str) -> Text:
    """Say why a pane is empty."""
    return Text(told, "dim")


def told(label: str, words: str, style: str = "") -> RenderableType:
    """Tell something of what is chosen; it may be a stranger's."""
    return labelled(label, Text(printable(one_line(words)), style))


def one_line(text: str) -> str:
    """Write a text in one line."""
    return " ".join(text[:_LONGEST].split())


_FAR = 1 << 40  # lines: beyond any list
_LINES = {"up": -1, "k": -1, "down": 1, "j": 1, "home": -_FAR, "g": -_FAR, "end": _FAR, "G": _FAR}
_PAGES = {"page up": -1, "page down": 1, "b": -1, " ": 1}
