"""Screen: which keys there are."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_KEYS = (
    ("1 to 6", "a pane by its number"),
    ("Tab, → and ←", "the next pane, and the one before"),
    ("↑ ↓, j k", "the next line, and the one before"),
    ("Space, b, PgDn, PgUp", "a page down, a page up"),
    ("g G, Home, End", "the first line, the last"),
    ("s", "workers: another order (name, rate, free slots, trouble, seen)"),
    ("r", "workers: that order backwards"),
    ("p", "pause the display, and go on; the job goes on anyhow"),
    ("Ctrl-L", "draw everything anew"),
    ("? h", "this page, and back"),
    ("q, Ctrl-C", "quit; the job goes on"),
)


def help_on_keys() -> RenderableType:
    """List the keys."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for key, meaning in _KEYS:
        table.add_row(Text(key, "bold"), Text(meaning))
    return table
