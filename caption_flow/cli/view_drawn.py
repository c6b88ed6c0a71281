"""Command line: how `view --tui` draws rows, one row, and what there is to filter by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from rich.cells import set_cell_size
from rich.console import Console, Group, RenderableType
from rich.text import Text

from caption_flow.cli.grid import Cell, Column, grid
from caption_flow.cli.letters import local
from caption_flow.cli.screen.pane import one_line
from caption_flow.plain import printable

HEADING = 1  # lines of a list that are no row
_SHORT = 400  # characters of a text in a list
_LABEL = 18  # columns
_COLUMNS = (
    Column("sample", least=12, usual=20),
    Column("caption", least=20, usual=40),
    Column("flags", rank=1, least=6),
    Column("by", rank=2, least=4),
)


class Line(Struct, frozen=True):
    """A line of one row, as wide as the terminal lets it be."""

    text: str
    style: str = ""


def listing(rows: Sequence[Mapping[str, Any]], width: int, chosen: int) -> RenderableType:
    """Draw rows below one another; the chosen one stands out."""
    return grid(_COLUMNS, [_cells(row) for row in rows], width, chosen=chosen)


def _cells(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    texts = " / ".join(text for some in row["captions"].values() for text in some)
    by = dict.fromkeys(one["contributor"] for one in row["stages"] if one["contributor"])
    flags = (" ".join(row["flags"]), "yellow")
    return row["id"], one_line(texts)[:_SHORT], flags, " ".join(by) or row["contributor"]


def in_full(row: Mapping[str, Any], width: int) -> list[Line]:
    """Lay out all that is known of a row: captions stage by stage, then the rest."""
    lines = [*(Line(part, "bold") for part in _wrapped(row["id"], width)), Line("")]
    for name, texts in row["captions"].items():
        lines += [Line(part, "bold cyan") for part in _wrapped(name, width)]
        for text in texts:
            lines += [Line(part) for part in _wrapped(text, width)]
            lines.append(Line(""))
    for label, value in _told(row):
        parts = _wrapped(value, max(10, width - _LABEL))
        head = set_cell_size(printable(label), _LABEL - 1) + " "
        heads = [head, *[" " * _LABEL] * len(parts)]
        lines += [Line(head + part) for head, part in zip(heads, parts, strict=False)]
    return lines


def _told(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    size = f"{row['width']} x {row['height']}" if row["width"] else ""
    listed = {"Source": row["source"], "Shard": row["shard"], "Size": size}
    listed |= {"Captioned": local(row["at"]) if row["at"] else "", "Flags": ", ".join(row["flags"])}
    for label, value in (listed | row.get("facts", {}) | row.get("columns", {})).items():
        if value:
            yield label, value


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of so many columns, of which some letters take two."""
    lines = (Text(printable(line)) for line in text.splitlines())
    parts = [part.plain.rstrip() for line in lines for part in line.wrap(_ANY, width)]
    return parts or [""]


_ANY = Console()  # asked for nothing but how tabs are shown, of which there are none


def seen(lines: Sequence[Line], top: int, height: int) -> RenderableType:
    """Draw the lines from one on that there is room for."""
    some = lines[top : top + height]
    return Group(*(Text(one.text, one.style, no_wrap=True, overflow="ellipsis") for one in some))


def options(found: Sequence[tuple[str, str, bool]], chosen: int, height: int) -> RenderableType:
    """Draw what can be filtered by: what it says, how often it is met, and whether it is set."""
    first = max(0, min(chosen - height // 2, len(found) - height))
    shown = []
    for number, (label, count, is_set) in enumerate(found[first : first + height], first):
        mark = "[x]" if is_set else "[ ]"
        line = Text(f"{mark} {printable(label)}  ", no_wrap=True, overflow="ellipsis")
        line.append(count, "dim")
        line.stylize("reverse" if number == chosen else "")
        shown.append(line)
    return Group(*shown)
