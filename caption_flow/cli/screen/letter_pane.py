"""Screen: dead letters by reason, and the newest one by one."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import listing
from caption_flow.cli.grid import Cell, Column, grid
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled, nothing, one_line, told
from caption_flow.model import DeadLetter
from caption_flow.monitor import wording

_REASONS = 4  # shown; the most frequent
_SHORT = 200  # characters of a detail in the list
_COLUMNS = (
    Column("given up", rank=3, usual=8),
    Column("reason", least=8, usual=12),
    Column("sample", least=12, usual=16),
    Column("stage", rank=2, usual=8, least=8),
    Column("detail", rank=1, least=16),
)


class LetterPane(Scrolled):
    """Pane, see pane.py."""

    title = "Errors"

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show the newest dead letters in so many columns and lines."""
        if not sight.snapshot.counts.dead:
            return nothing("No sample has been given up.")
        why = dict(list(sight.snapshot.reasons.items())[:_REASONS])
        above = Group(listing.reasons(why, width), Text())
        letters = sight.letters
        if not letters:
            return above
        room = self.room(height, beside=len(why) + 2)
        top, at, chosen = self.looked([letter.entry for letter in letters], room)
        rows = [_row(letter) for letter in letters[top : top + room.listed]]
        table = Group(above, grid(_COLUMNS, rows, width, chosen=chosen))
        return room.filled(table, letters[at].sample.id, list(_details(letters[at])))


def _row(letter: DeadLetter) -> tuple[Cell, ...]:
    why = letter.failure
    detail = one_line(why.detail)[:_SHORT]
    return (wording.clock(why.at), why.reason, letter.sample.id, why.stage or "(feeder)", detail)


def _details(letter: DeadLetter) -> Iterator[RenderableType]:
    why = letter.failure
    yield told("Reason", why.reason)
    yield told("Detail", why.detail)
    if why.stage:
        yield told("Stage", f"{why.stage}, attempt {why.attempt}, by {why.member}")
    yield told("Source", letter.sample.source)
