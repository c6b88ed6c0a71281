"""Screen: the first pane. Where there is room, all that should be looked at stands side by side."""

from rich.console import RenderableType
from rich.layout import Layout
from rich.rule import Rule
from rich.text import Text

from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Area, Pane

_ROOM = (140, 36)  # columns and lines, for more than the job itself


class Dashboard:
    """Pane, see pane.py: one above, and others below and beside it if there is room."""

    hints = ""

    def __init__(self, first: Pane, beside: Pane, middle: Pane, bottom: tuple[Pane, ...]) -> None:
        self.title = first.title
        self._first = first
        self._beside = beside
        self._middle = middle
        self._bottom = bottom

    def press(self, key: str) -> None:
        """There is nothing to move."""

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show a job in so many columns and lines."""
        if width < _ROOM[0] or height < _ROOM[1]:
            return self._first.draw(sight, width, height)
        whole = Layout()
        top, middle, bottom = Layout(ratio=4), Layout(ratio=4), Layout(ratio=3)
        whole.split_column(top, middle, bottom)
        top.split_row(Area(self._first, sight), _gap(), _titled(self._beside, sight))
        middle.split_column(*_parts(self._middle, sight))
        columns = [_titled(pane, sight) for pane in self._bottom]
        bottom.split_row(*[part for column in columns for part in (column, _gap())][:-1])
        return whole


def _titled(pane: Pane, sight: Sight) -> Layout:
    column = Layout()
    column.split_column(*_parts(pane, sight))
    return column


def _parts(pane: Pane, sight: Sight) -> tuple[Layout, Layout]:
    title = Rule(pane.title, align="left", style="dim", characters="─")
    return Layout(title, size=1), Layout(Area(pane, sight))


def _gap() -> Layout:
    return Layout(Text(" "), size=2)
