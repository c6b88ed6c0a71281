"""Screen: the streams of a job, the shards that pass through them, and the processes beside the
workers that fill and empty them.
"""

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import listing, overview
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled

_HEADING = 2  # lines: of a table, and one above it
_SHARE = 3  # of the lines below the streams one part is for shards


class StreamPane(Scrolled):
    """Pane, see pane.py."""

    title = "Streams"

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show them in so many columns and lines."""
        snapshot = sight.snapshot
        shown: list[RenderableType] = [listing.streams(snapshot, width)]
        lines = height - len(snapshot.streams) - 1
        if shards := snapshot.shards[: max(0, lines // _SHARE - _HEADING)]:
            shown += [Text(), listing.shards(shards, width)]
            lines -= len(shards) + _HEADING
        seen = self.scrolled(overview.beside_workers(snapshot), lines - _HEADING)
        return Group(*shown, Text(), listing.processes(seen, snapshot.at, width))
