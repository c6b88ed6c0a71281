"""Screen: the streams of a job, and the processes beside the workers that fill and empty them."""

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import listing, overview
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled

_HEADINGS = 3  # lines: of both tables, and one between them


class StreamPane(Scrolled):
    """Pane, see pane.py."""

    title = "Streams"

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show them in so many columns and lines."""
        snapshot = sight.snapshot
        lines = height - len(snapshot.streams) - _HEADINGS
        seen = self.scrolled(overview.beside_workers(snapshot), lines)
        processes = listing.processes(seen, snapshot.at, width)
        return Group(listing.streams(snapshot, width), Text(), processes)
