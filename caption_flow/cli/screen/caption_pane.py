"""Screen: the newest captions, with one of them in full."""

from collections.abc import Iterator

from rich.console import RenderableType

from caption_flow.cli.grid import Cell, Column, grid
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled, nothing, one_line, told
from caption_flow.model import Caption, Outcome
from caption_flow.monitor import wording

_SHORT = 200  # characters of a caption in the list
_COLUMNS = (
    Column("at", usual=8),
    Column("sample", least=12, usual=16),
    Column("worker", rank=2, least=12),
    Column("caption", rank=1, least=20),
)


class CaptionPane(Scrolled):
    """Pane, see pane.py."""

    title = "Captions"

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show the newest captions in so many columns and lines."""
        found = sight.captions
        if not found:
            return nothing("No caption has been seen yet.")
        room = self.room(height)
        top, at, chosen = self.looked([caption.entry for caption in found], room)
        rows = [_row(caption) for caption in found[top : top + room.listed]]
        table = grid(_COLUMNS, rows, width, chosen=chosen)
        return room.filled(table, found[at].sample.id, list(_details(found[at])))


def _row(caption: Caption) -> tuple[Cell, ...]:
    last = caption.outcomes[-1] if caption.outcomes else None
    if last is None:
        return ("", caption.sample.id, "", "")
    text = one_line(" / ".join(_texts(last)))[:_SHORT]
    return (wording.clock(last.captioned_at), caption.sample.id, last.worker, text)


def _details(caption: Caption) -> Iterator[RenderableType]:
    for outcome in reversed(caption.outcomes):  # the last stage tells most
        for text in _texts(outcome):
            yield told(outcome.stage, text)
        by = [outcome.model or outcome.engine, f"{outcome.output_tokens:,} tokens", outcome.worker]
        yield told("", ", ".join((*by, *outcome.flags)), "dim")


def _texts(outcome: Outcome) -> list[str]:
    return [text for texts in outcome.outputs.values() for text in texts]
