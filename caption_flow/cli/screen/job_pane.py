"""Screen: the job as a whole."""

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import overview
from caption_flow.cli.screen.lookout import Sight

_REST = 18  # lines that are left to the rest
_BARS = (2, 8)  # lines of the graph, at least and at most


class JobPane:
    """Pane, see pane.py."""

    title = "Overview"
    hints = ""

    def __init__(self, *, graph: bool, ascii_only: bool) -> None:
        self._graph = graph
        self._ascii_only = ascii_only

    def press(self, key: str) -> None:
        """There is nothing to move."""

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show a job in so many columns and lines."""
        snapshot = sight.snapshot
        shown: list[RenderableType] = [
            *overview.limiting(snapshot),
            Text(),
            *overview.standing(snapshot, width),
        ]
        if self._graph:
            lines = min(max(height - _REST, _BARS[0]), _BARS[1])
            ascii_only = self._ascii_only
            shown.append(Text())
            shown.append(overview.throughput(snapshot, width, lines, ascii_only=ascii_only))
        return Group(*shown)
