"""Grid: a table fits any width, and what is in it does nothing to the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from caption_flow.cli.grid import Cell, Column, fitted, grid

COLUMNS = (
    Column("name", least=6, usual=10),
    Column("rate", right=True, usual=6),
    Column("host", rank=2, least=4),
    Column("note", rank=1, least=4),
)
ROW: tuple[Cell, ...] = ("worker-of-a-long-name", "12/s", "host-a", "all is well")


def shown(width: int, *rows: tuple[Cell, ...], chosen: int | None = None) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    console.print(grid(COLUMNS, rows, width, chosen=chosen))
    return out.getvalue().splitlines()


def test_all_is_shown_where_there_is_room():
    assert shown(100, ROW) == [
        "name                     rate  host    note       ",
        "worker-of-a-long-name    12/s  host-a  all is well",
    ]


def test_what_may_be_cut_is_cut_first():
    assert shown(40, ROW) == [
        "name                    rate  host  note",
        "worker-of-a-long-na…    12/s  hos…  all…",
    ]


def test_least_important_column_goes_first():
    assert [heading.split() for heading in (shown(23, ROW)[0], shown(15, ROW)[0])] == [
        ["name", "rate", "note"],
        ["name", "rate"],
    ]


def test_column_that_has_nothing_to_show_takes_no_room():
    assert shown(100, ("a", "1/s", "", "x"))[0].split() == ["name", "rate", "note"]


def test_columns_are_aligned_in_all_scripts():
    lines = shown(100, ("日本語のワーカー", "1/s", "a", "x"), ("plain", "100/s", "b", "y"))

    assert {cell_len(line[: line.index("  x")]) for line in lines if "  x" in line} == {
        cell_len(line[: line.index("  y")]) for line in lines if "  y" in line
    }


def test_what_strangers_say_is_only_shown():
    [_, line] = shown(100, ("\x1b[2Jname\n", "1/s", "a\u202eb", "[red]x[/red]"))

    assert "\x1b" not in line
    assert "\\x1b[2Jname\\n" in line
    assert "\\u202e" in line
    assert "[red]x[/red]" in line


@pytest.mark.parametrize("chosen", [0, 1])
def test_chosen_row_stands_out(chosen: int):
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard")
    console.print(grid(COLUMNS, [ROW, ROW], 80, chosen=chosen))

    lines = out.getvalue().splitlines()[1:]
    assert ["\x1b[7m" in line for line in lines] == [chosen == 0, chosen == 1]


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4), st.integers(13, 200))
def test_nothing_stands_beyond_the_width_as_long_as_the_least_fits(natural: list[int], width: int):
    natural[0], natural[1] = max(natural[0], 1), 5
    widths = fitted(COLUMNS, natural, width)

    assert {0, 1} <= widths.keys()
    assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
    assert all(widths[i] <= natural[i] for i in widths)
