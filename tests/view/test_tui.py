"""`caption-flow view --tui`, on a terminal."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.full_screen import Terminal
from tests.e2e.desk import wait_until
from tests.view.parts import NEEDLE, numbered, part_name, write_part

ROWS = 100
DOWN, RIGHT, ESCAPE, ENTER, BACKSPACE = "\x1b[B", "\x1b[C", "\x1b", "\r", "\x7f"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    rows = numbered(0, ROWS)
    rows[1]["captions"] = ["\x1b[2J a caption that clears the screen"]
    write_part(tmp_path / "got", part_name(0), rows)
    with Terminal(tmp_path, "view", "got", "--tui", columns=100) as opened:
        opened.shows("100 rows, page 1 of 5", "img-00000000.jpg")
        yield opened


def test_pages_are_turned_and_a_row_is_opened(terminal: Terminal):
    terminal.press(RIGHT)
    terminal.shows("page 2 of 5", "img-00000020.jpg")
    terminal.press(":5" + ENTER)
    terminal.shows("page 5 of 5", "img-00000099.jpg")
    terminal.press("g")
    terminal.shows("page 1 of 5")
    terminal.press(DOWN * 3 + ENTER)
    terminal.shows("img-00000003.jpg", "captions", "tags", "Source", "No. 3.")
    terminal.press(RIGHT)
    terminal.shows("img-00000004.jpg", "No. 4.")
    terminal.press(ESCAPE)
    terminal.shows("page 1 of 5", "img-00000000.jpg")


def test_words_are_searched_and_filters_set(terminal: Terminal):
    wait_until(lambda: "can be searched" not in terminal.text, "all to be indexed")
    terminal.press(f"/{NEEDLE}x{BACKSPACE}{ENTER}")
    terminal.shows("1 found, page 1 of 1", "img-00000007.jpg")
    terminal.press(ESCAPE)
    terminal.shows("100 rows")
    terminal.press("f")
    terminal.shows("flag: caption:too_short", "contributor: own workers")
    terminal.press(ENTER + ESCAPE)
    terminal.shows("1 found", "flag=caption:too_short", "img-00000009.jpg")


def test_parts_that_come_are_shown(terminal: Terminal, tmp_path: Path):
    wait_until(lambda: "can be searched" not in terminal.text, "all to be indexed")
    terminal.press(f"/afternoon{ENTER}")
    terminal.shows(f"{ROWS - 1} found, page 1 of 5", "img-00000000.jpg")
    write_part(tmp_path / "got", part_name(1), numbered(ROWS, 30))
    terminal.shows(f"{ROWS + 29} found, page 1 of 7", "img-00000000.jpg")

    terminal.press(ESCAPE)
    terminal.shows(f"{ROWS + 30} rows", "img-00000000.jpg")
    terminal.press("n" + DOWN)
    terminal.shows("newest first", "img-00000129.jpg")
    write_part(tmp_path / "got", part_name(2), numbered(ROWS + 30, 2))
    terminal.shows("132 rows", "newest first", "img-00000131.jpg")
    terminal.press(ENTER)
    terminal.shows("No. 128.")


def test_row_that_cannot_be_read_ends_nothing(tmp_path: Path):
    rows = write_part(tmp_path / "got", part_name(0), numbered(0, 1))
    table = pq.read_table(rows, partitioning=None)
    far = pa.array([1 << 40], pa.timestamp("s"))
    pq.write_table(table.append_column("taken", far), rows)
    with Terminal(tmp_path, "view", "got", "--tui", columns=160) as opened:
        opened.shows("1 rows", "img-00000000.jpg", f"cannot be read: {part_name(0)}")
        opened.press(ENTER)
        opened.shows("img-00000000.jpg", "has what is no row of ours")
        opened.press("q")
        assert opened.ended() == 0


def test_filter_for_what_a_row_has_not_says_so(tmp_path: Path):
    write_part(tmp_path / "got", part_name(0), [row | {"model": ""} for row in numbered(0, 3)])
    with Terminal(tmp_path, "view", "got", "--tui", columns=100) as opened:
        opened.shows("3 rows", "img-00000000.jpg")
        wait_until(lambda: "can be searched" not in opened.text, "all to be indexed")
        opened.press("f")
        opened.shows("model: (none)", "contributor: own workers")


def test_dead_letters_that_are_not_seen_say_so(terminal: Terminal):
    terminal.press("d")
    terminal.shows("0 dead letters", "no Redis is configured")


def test_caption_is_no_command_to_the_terminal(terminal: Terminal):
    assert "\x1b[2J a caption" not in terminal.sent
    assert "\\x1b[2J a caption" in terminal.text


def test_terminal_may_change_its_size(terminal: Terminal):
    terminal.resize(60, 12)
    terminal.shows("page 1 of 13", "img-00000007")


def test_terminal_is_given_back(terminal: Terminal):
    terminal.press("q")

    assert terminal.ended() == 0
    wait_until(lambda: terminal.restored, "the terminal to be as before")
