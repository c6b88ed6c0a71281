"""`caption-flow view`: what it finds, what it says, and how it ends."""

import os
import re
import signal
from urllib.error import HTTPError

import pytest

from tests.cli.full_screen import Terminal
from tests.e2e.desk import Desk, wait_until
from tests.view.parts import numbered, part_name, write_part
from tests.view.viewing import PICTURES, SIMULATED, Viewing, captioned

ROWS = 20


@pytest.fixture(scope="module")
def done(shared_desk: Desk) -> Desk:
    """A desk at which a job is done, and its Redis has ended."""
    captioned(shared_desk)
    return shared_desk


def test_images_and_dead_letters_of_a_job_that_is_done_are_found(done: Desk):
    viewing = Viewing(done, "photos")
    [row] = viewing.told("rows", count=1)["rows"]
    letters = viewing.told("letters")

    assert viewing.told("rows")["total"] == PICTURES
    assert viewing.ask("picture", key=row["key"])[8:12] == b"WEBP"
    assert [letter["id"] for letter in letters["rows"]] == ["page.png"]
    assert letters["why"] == ""
    ended = viewing.running.terminate()
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "Stopped.")
    assert ended.err == ""


def test_dead_letters_of_a_redis_that_runs_are_read_as_they_come(desk: Desk, redis_url: str):
    redis = ("--redis", redis_url)
    captioned(desk, *redis)
    viewing = Viewing(desk, "photos", *redis, "--dataset", "photos")
    (desk.folder / "photos" / "empty.jpg").touch()

    assert [letter["id"] for letter in viewing.told("letters")["rows"]] == ["page.png"]
    again = desk.run("run", "photos", *SIMULATED, *redis)
    assert again.code == 0, again.words
    wait_until(lambda: viewing.told("letters")["total"] == 2, "the new letter")


def test_words_are_found_once_rows_are_indexed(done: Desk):
    viewing = Viewing(done)  # the only job there is
    wait_until(viewing.is_indexed, "the index")

    assert viewing.told("rows", text="simulated")["total"] == PICTURES
    assert viewing.told("choices", kind="finish") == [{"value": "stop", "rows": PICTURES}]


def test_folder_of_parts_alone_is_enough(desk: Desk):
    write_part(desk.folder / "got", part_name(0), numbered(0, ROWS))
    viewing = Viewing(desk, "got")
    [row] = viewing.told("rows", count=1)["rows"]

    assert viewing.told("rows")["total"] == ROWS
    assert "no Redis is configured" in viewing.told("letters")["why"]
    assert "--dataset" in viewing.told("picture", key=row["key"])["why"]


def test_part_that_a_sink_adds_is_followed(desk: Desk):
    write_part(desk.folder / "caption_data" / "photos", part_name(0), numbered(0, ROWS))
    viewing = Viewing(desk, "photos")
    write_part(desk.folder / "caption_data" / "photos", part_name(1), numbered(ROWS, 5))

    wait_until(lambda: viewing.told("rows")["total"] == ROWS + 5, "the new rows")


def test_job_that_is_not_there_is_named_with_those_that_are(desk: Desk):
    for job in ("cats", "dogs"):
        write_part(desk.folder / "caption_data" / job, part_name(0), numbered(0, 1))
    for words in (("birds",), ()):
        ended = desk.run("view", *words, "--no-browser")
        assert ended.code == 2
        assert "cats, dogs" in ended.err
        assert "Traceback" not in ended.err


def test_token_is_made_and_demanded_beyond_this_host(desk: Desk):
    write_part(desk.folder / "got", part_name(0), numbered(0, ROWS))
    viewing = Viewing(desk, "got", "--host", "0.0.0.0")
    token = re.findall(r"#token=(\S+)", viewing.address)[0]

    with pytest.raises(HTTPError, match="401"):
        viewing.ask("rows")
    assert viewing.told("rows", token=token)["total"] == ROWS
    assert "plain HTTP" in viewing.running.err


def test_token_that_could_be_guessed_is_refused(desk: Desk):
    ended = desk.run("view", "got", "--token", "short")

    assert ended.code == 2
    assert "16 letters" in ended.err


def test_browser_that_stays_open_keeps_nobody(desk: Desk):
    write_part(desk.folder / "got", part_name(0), numbered(0, ROWS))
    opened, browser = desk.folder / "opened", desk.folder / "browser"
    browser.write_text(f'#!/bin/sh\necho $$ "$1" > {opened}\nexec sleep 600\n')
    browser.chmod(0o755)
    # No bar is drawn on a terminal that is dumb.
    variables = {"BROWSER": f"{browser} %s", "DISPLAY": ":9", "TERM": "dumb"}
    with Terminal(desk.folder, "view", "got", environ=variables) as terminal:
        terminal.shows("The captions of got are at")
        wait_until(lambda: opened.exists() and opened.read_text().strip(), "a browser")
        process, address = opened.read_text().split()
        try:
            assert address in terminal.text
            terminal.process.terminate()  # alone: Ctrl-C would end the browser too
            assert terminal.ended() == 0
        finally:
            os.kill(int(process), signal.SIGKILL)


def test_terminal_is_needed_to_draw_on(desk: Desk):
    write_part(desk.folder / "got", part_name(0), numbered(0, 1))
    ended = desk.run("view", "got", "--tui")

    assert ended.code == 2
    assert "no terminal" in ended.err
