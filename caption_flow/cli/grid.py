"""Command line: tables that fit a terminal of any width, and lose the least important columns."""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct
from rich.cells import cell_len
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from caption_flow.cli.letters import printable

GAP = 2  # characters between two columns
BEYOND = 10_000  # columns, where there is no terminal: a line of output is a row
SHORTENED = "…"

Cell: TypeAlias = str | tuple[str, str]  # what it says, and its style


class Column(Struct, frozen=True):
    """A column of a table."""

    title: str
    right: bool = False  # numbers are
    rank: int = 0  # 0 is always shown; of the others the highest goes first
    least: int = 0  # characters to which it may be cut; 0: it is not
    usual: int = 0  # characters that it has at least, so that it stays in place from look to look


def grid(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    width: int,
    *,
    chosen: int | None = None,
    heading: str = "bold",
) -> Table:
    """Lay out rows as wide as there is room; the chosen one stands out. Cells may be strangers'."""
    texts = [[_text(cell) for cell in row] for row in rows]
    natural = [
        max(column.usual, cell_len(column.title), *(row[i].cell_len for row in texts), 0)
        for i, column in enumerate(columns)
    ]
    widths = fitted(columns, natural, width)
    table = Table(
        *(_rich(columns[i], given) for i, given in widths.items()),
        box=None,
        padding=(0, GAP, 0, 0),
        pad_edge=False,
        header_style=heading,
        show_edge=False,
    )
    for number, row in enumerate(texts):
        table.add_row(*(row[i] for i in widths), style="reverse" if number == chosen else "")
    return table


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """Choose the columns there is room for, and give each its width, by their numbers."""
    kept = list(range(len(columns)))

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


def _text(cell: Cell) -> Text:
    said, style = (cell, "") if isinstance(cell, str) else cell
    return Text(printable(said), style)


def _rich(column: Column, width: int) -> RichColumn:
    return RichColumn(
        Text(column.title),
        justify="right" if column.right else "left",
        width=width,
        no_wrap=True,
        overflow="ellipsis",
    )
