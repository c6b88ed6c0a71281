"""Speeds: what is told of a worker's pace is what it made between two words."""

import pytest

from caption_flow.monitor.speeds import WINDOW, Speeds
from caption_flow.queue.ports import Member


def member(seen: float, captions: float, *, started: float = 0.0, name: str = "w") -> Member:
    return Member("worker", name, "host", 1, started, seen, "working", {"captions": captions})


def after(*words: Member) -> float | None:
    speeds = Speeds()
    for word in words:
        speeds.note([word])
    return speeds.of(words[-1])


def test_speed_is_what_was_made_between_two_words():
    assert after(member(100, 50), member(104, 58)) == 2.0


def test_the_same_word_again_changes_nothing():
    assert after(member(100, 50), member(104, 58), member(104, 58)) == 2.0


def test_speed_is_that_of_the_last_half_minute():
    """What was long ago counts no more."""
    words = [member(2.0 * i, 100.0) for i in range(50)]
    words += [member(100 + 2.0 * i, 100.0 + 6 * i) for i in range(20)]

    assert WINDOW < 20 * 2
    assert after(*words) == pytest.approx(3.0)


def test_speed_of_one_that_was_heard_once_is_that_since_it_began():
    assert after(member(100, 50, started=90)) == 5.0


def test_nothing_is_told_of_one_that_has_just_begun():
    assert after(member(100, 0, started=99.5)) is None


def test_nothing_is_told_of_one_that_makes_no_captions():
    speeds = Speeds()
    sink = Member("sink", "s", "host", 1, 0.0, 100.0, "working", {"rows": 5.0})
    speeds.note([sink])

    assert speeds.of(sink) is None


def test_one_that_counts_anew_is_measured_anew():
    assert after(member(100, 50), member(104, 58), member(106, 1), member(108, 7)) == 3.0


def test_one_that_has_left_is_forgotten():
    speeds = Speeds()
    speeds.note([member(100, 50, name="left")])
    speeds.note([])
    speeds.note([member(110, 50, name="left", started=100)])

    assert speeds.of(member(110, 50, name="left", started=100)) == 5.0
