"""`caption-flow view --tui`, on a terminal."""

from collections.abc import Iterator
from pathlib import Path

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
