"""Screen: who captioned how much."""

from rich.console import RenderableType

from caption_flow.cli.contributors_report import board
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled, nothing

_HEADING = 3  # lines


class BoardPane(Scrolled):
    """Pane, see pane.py."""

    title = "Leaderboard"

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:  # noqa: ARG002 - see pane
        """Show the leaderboard, in so many lines."""
        standings = sight.snapshot.leaderboard
        if not standings:
            return nothing("No caption is in a part yet.")
        return board(self.scrolled(standings, height - _HEADING))
