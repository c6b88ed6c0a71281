"""Command line: tables that fit a terminal of any width, and lose the least important columns.

Rich's own tables fold or shrink all columns alike, and take several times as long, which counts
where a screen is drawn anew each second.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from caption_flow.plain import printable

GAP = 2  # characters between two columns
SHORTENED = "…"
HEADING = Style(bold=True)
CHOSEN = Style(reverse=True)

Cell: TypeAlias = str | tuple[str, str]  # what it says, and its style


class Column(Struct, frozen=True):
    """A column of a table."""

    title: str
    right: bool = False  # numbers are
    rank: int = 0  # 0 is always shown; of the others the highest goes first
    least: int = 0  # characters to which it may be cut; 0: it is not
    usual: int = 0  # characters that it has at least, so that it stays in place from look to look


class Grid(Struct, frozen=True):
    """A table with its widths, ready to be shown."""

    columns: list[tuple[Column, int]]
    rows: list[list[tuple[str, str]]]
    chosen: int | None

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = sum(width for _, width in self.columns) + GAP * (len(self.columns) - 1)
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._line(((column.title, "") for column, _ in self.columns), HEADING)
        for number, row in enumerate(self.rows):
            yield Segment.line()
            yield from self._line(row, CHOSEN if number == self.chosen else Style.null())
        yield Segment.line()

    def _line(self, cells: Iterable[tuple[str, str]], style: Style) -> Iterable[Segment]:
        for number, ((column, width), (text, own)) in enumerate(
            zip(self.columns, cells, strict=True)
        ):
            if number:
                yield Segment(" " * GAP, style)
            yield Segment(_fit(text, width, right=column.right), style + Style.parse(own))


def grid(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    width: int,
    *,
    chosen: int | None = None,
) -> Grid:
    """Lay out rows as wide as there is room; the chosen one stands out. Cells may be strangers'."""
    cells = [[_shown(cell) for cell in row] for row in rows]
    natural = [
        _natural(column, [cell_len(row[i][0]) for row in cells]) for i, column in enumerate(columns)
    ]
    widths = fitted(columns, natural, width)
    kept = [(columns[i], given) for i, given in widths.items()]
    return Grid(kept, [[row[i] for i in widths] for row in cells], chosen)


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """Choose the columns there is room for, and give each its width, by their numbers.

    `natural`: which width shows all of each; one that has nothing to show is left out if it may be.
    """
    kept = [i for i, column in enumerate(columns) if natural[i] or not column.rank]

    def least(i: int) -> int:
        return min(natural[i], columns[i].least or natural[i])

    def needed() -> int:
        return sum(map(least, kept)) + GAP * (len(kept) - 1)

    while needed() > width and any(columns[i].rank for i in kept):
        kept.remove(max(kept, key=lambda i: (columns[i].rank, i)))
    spare = max(0, width - needed())
    widths = {}
    for i in kept:
        more = min(spare, natural[i] - least(i))
        widths[i] = least(i) + more
        spare -= more
    return widths


def _natural(column: Column, cells: Sequence[int]) -> int:
    """Give the width that shows all; 0 where there is nothing to show."""
    widest = max(cells, default=0)
    return max(column.usual, cell_len(column.title), widest) if widest or not cells else 0


def _shown(cell: Cell) -> tuple[str, str]:
    said, style = (cell, "") if isinstance(cell, str) else cell
    return printable(said), style


def _fit(text: str, width: int, *, right: bool) -> str:
    has = cell_len(text)
    if has > width:
        return set_cell_size(text, max(0, width - 1)) + SHORTENED[:width]
    blank = " " * (width - has)
    return blank + text if right else text + blank
