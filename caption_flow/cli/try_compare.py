"""Command line: how `try --compare` shows two settings side by side."""

from collections.abc import Mapping
from typing import TextIO, TypeAlias

from rich.console import Group
from rich.table import Table
from rich.text import Text

from caption_flow.cli.reload_report import line
from caption_flow.cli.showing import console_here
from caption_flow.cli.try_report import answer, cost, failure, heading, shown_text, summed_up
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import changes
from caption_flow.preview.told import Shown, Summary, Told

_WIDE = 160  # columns, where there is no terminal

_Place: TypeAlias = tuple[str, int]  # a stage, and the number of a prompt of it


class Comparison:
    """Two settings: what the first made is kept until the second has made its own."""

    def __init__(self, out: TextIO) -> None:
        self._console = console_here(out, beyond=_WIDE)
        self._first: list[Shown] = []
        self._second = ""  # its label
        self._seen = 0  # images that both have shown

    def begin(self, settings: Mapping[str, Broadcast]) -> None:
        """Say what differs."""
        (first, before), (self._second, after) = settings.items()
        found = changes(before, after)
        head = f"What differs ({first} → {self._second}):" if found else "Nothing differs."
        self._console.print(Text(head, style="bold"))
        for change in found:
            self._console.print(shown_text(line(change)))
        self._console.print()

    def show(self, label: str, shown: Shown) -> None:
        """Keep what the first made; show it beside what the second did."""
        if label != self._second:
            self._first.append(shown)
            return
        self._console.print(heading(shown))
        self._console.print(_side_by_side(self._first[self._seen], shown))
        self._seen += 1

    def end(self, sums: Mapping[str, Summary]) -> None:
        """Sum up each."""
        for label, summary in sums.items():
            self._console.print(Text(f"{label}: ").append(summed_up(summary)))


def _side_by_side(first: Shown, second: Shown) -> Table:
    table = Table("", "A", "B", show_lines=True)
    for column in table.columns[1:]:
        column.overflow, column.ratio = "fold", 1
    one, other = _placed(first), _placed(second)
    for place in dict.fromkeys([*one, *other]):
        stage, number = place
        name = f"{stage} {number}" if (stage, 2) in one | other else stage
        table.add_row(shown_text(name), _cell(one.get(place)), _cell(other.get(place)))
    if first.failure or second.failure:
        table.add_row("", failure(first), failure(second))
    return table


def _placed(shown: Shown) -> dict[_Place, Told]:
    return {
        (passage.stage.name, number): told
        for passage in shown.passages
        for number, told in enumerate(passage.told, start=1)
    }


def _cell(told: Told | None) -> Group:
    if told is None:
        return Group()
    prompt = shown_text(told.kept.prompt, style="dim italic")
    made = [value for name, value in answer(told) if name != "before polish"]
    return Group(prompt, *made, Text(cost(told), style="dim"))
