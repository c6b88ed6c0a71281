"""`caption-flow run` again and again: nothing twice, nothing left out."""

import shlex
import shutil
import subprocess

import pytest

from tests.e2e.desk import Desk
from tests.e2e.pictures import draw
from tests.e2e.runs import SIMULATED, Captioned, processes_in, run


@pytest.fixture(scope="module")
def first(shared_desk: Desk) -> Captioned:
    draw(shared_desk.folder / "photos", 60)
    return run(shared_desk, *SIMULATED)


@pytest.fixture(scope="module")
def second(shared_desk: Desk, first: Captioned) -> Captioned:
    assert first.ended.code == 0
    return run(shared_desk, *SIMULATED)


@pytest.fixture(scope="module")
def third(shared_desk: Desk, second: Captioned) -> Captioned:
    assert second.ended.code == 0
    draw(shared_desk.folder / "photos" / "more", 7, first=500)
    draw(shared_desk.folder / "photos", 3, first=60)
    return run(shared_desk, *SIMULATED)


@pytest.fixture(scope="module")
def fourth(shared_desk: Desk, third: Captioned) -> Captioned:
    """The data of the embedded Redis is gone."""
    assert third.ended.code == 0
    shutil.rmtree(shared_desk.folder / "caption_data" / ".redis")
    draw(shared_desk.folder / "photos", 2, first=63)
    return run(shared_desk, *SIMULATED)


def test_first_ends_well(first: Captioned):
    assert first.ended.code == 0, first.ended.words


def test_first_says_how_many_captions_are_where_and_how_long_it_took(first: Captioned):
    [line] = [line for line in first.ended.out.splitlines() if "dead letters" in line]

    assert line.startswith("60 captions in caption_data/photos, 0 dead letters, ")
    assert float(line.split()[-2]) > 0


def test_first_shows_a_few_captions(first: Captioned):
    shown = [line for line in first.ended.out.splitlines() if "simulated caption" in line]

    assert len(shown) == 3
    assert all(line.strip().partition(":")[0] in first.rows for line in shown)


def test_first_says_what_to_do_next_and_it_works(shared_desk: Desk, first: Captioned):
    [line] = [line for line in first.ended.out.splitlines() if line.startswith("Next: ")]
    command = shlex.split(line.removeprefix("Next: "))

    done = subprocess.run(
        command, cwd=shared_desk.folder, capture_output=True, text=True, check=True
    )

    assert "simulated caption" in done.stdout


def test_first_says_how_to_watch_its_streams(first: Captioned):
    assert "redis-cli -s /" in first.ended.err


def test_second_ends_well(second: Captioned):
    assert second.ended.code == 0, second.ended.words


def test_second_captions_nothing(first: Captioned, second: Captioned):
    assert second.rows == first.rows


def test_second_takes_no_longer(first: Captioned, second: Captioned):
    assert second.ended.seconds < first.ended.seconds + 5


def test_third_captions_only_what_is_new(second: Captioned, third: Captioned):
    new = {id_: when for id_, when in third.rows.items() if id_ not in second.rows}

    assert third.ended.code == 0
    assert len(new) == 10
    assert third.rows == second.rows | new


def test_no_process_is_left(shared_desk: Desk, third: Captioned):
    assert third.ended.code == 0
    assert processes_in(shared_desk.folder) == []


def test_fourth_captions_only_what_no_part_holds(third: Captioned, fourth: Captioned):
    assert len(fourth.rows) == 72
    assert third.rows.items() <= fourth.rows.items()


def test_fourth_counts_all_captions_there_are(fourth: Captioned):
    assert "72 captions in caption_data/photos, 0 dead letters, " in fourth.ended.out
