"""Screen: the workers, in an order that is chosen, with all that is known of one of them."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import listing
from caption_flow.cli.screen.lookout import Sight
from caption_flow.cli.screen.pane import Scrolled, nothing, told
from caption_flow.monitor import wording
from caption_flow.monitor.workers import ORDERS, Listed, ordered


class WorkerPane(Scrolled):
    """Pane, see pane.py."""

    title = "Workers"
    hints = "↑↓ move  s sort  r reverse"

    def __init__(self, *, alone: bool = True) -> None:
        super().__init__(alone=alone)
        # Beside others, there is room for those alone that somebody should look at.
        self._by = ORDERS.index("name" if alone else "trouble")
        self._backwards = False

    def press(self, key: str) -> None:
        """Move, or put the list in another order."""
        if key == "s":
            self._by, self._backwards = (self._by + 1) % len(ORDERS), False
        elif key == "r":
            self._backwards = not self._backwards
        else:
            super().press(key)

    def draw(self, sight: Sight, width: int, height: int) -> RenderableType:
        """Show the workers in so many columns and lines."""
        if not sight.workers:
            return nothing("No worker runs.")
        listed = ordered(sight.workers, ORDERS[self._by], backwards=self._backwards)
        room = self.room(height, beside=1)
        top, at, chosen = self.looked([one.member.name for one in listed], room)
        seen = listed[top : top + room.listed]
        table = Group(
            Text(self._place(listed, top, len(seen)), "dim"),
            listing.workers(seen, width, chosen=chosen),
        )
        return room.filled(table, listed[at].member.name, list(_details(listed[at])))

    def _place(self, listed: Sequence[Listed], top: int, seen: int) -> str:
        by = f"by {ORDERS[self._by]}" + (", backwards" if self._backwards else "")
        return f"{top + 1:,} to {top + seen:,} of {len(listed):,}, {by}"


def _details(one: Listed) -> Iterator[RenderableType]:
    member = one.member
    if error := listing.last_error(one):
        yield told("Last error", error, "yellow")
    yield told("State", f"{member.state}, heard {wording.span(one.ago)} ago")
    up = wording.span(member.seen - member.started)
    where = f"{member.pid} on {member.host}, up {up}"
    yield told("Process", ", ".join((where, *listing.facts(member))))
    yield told("Figures", ", ".join(listing.figures(member)))
