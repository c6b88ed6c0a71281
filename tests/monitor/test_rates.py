"""Rates: what is told of a job's pace is what its books did in that time."""

import pytest

from caption_flow.model import Counts
from caption_flow.monitor.rates import Rates, rates, throughput
from caption_flow.queue.ports import Moment, Snapshot

NOW = 10_000.0
PLANNED = 100_000


def at(ago: float, completed: int, dead: int = 0) -> Moment:
    """The books so many seconds ago; ten tokens are put out for each caption."""
    return Moment(NOW - ago, completed, dead, 10 * completed)


def snapshot(*history: Moment, completed: int, dead: int = 0, planned: int = PLANNED) -> Snapshot:
    counts = Counts(
        planned=planned,
        plan_done=True,
        completed=completed,
        dead=dead,
        output_tokens=10 * completed,
    )
    return Snapshot(NOW, counts, history=tuple(sorted(history, key=lambda moment: moment.at)))


def told(*history: Moment, completed: int, **more: int) -> Rates:
    return rates(snapshot(*history, completed=completed, **more))


def test_each_span_has_its_rate():
    found = told(
        at(3600, 0), at(300, 3000), at(61, 4000), at(60, 4010), at(15, 4500), completed=4610
    )

    assert found.minute.samples == pytest.approx(600 / 60)
    assert found.five_minutes.samples == pytest.approx(1610 / 300)
    assert found.hour.samples == pytest.approx(4610 / 3600)
    assert found.minute.tokens == pytest.approx(6000 / 60)


def test_rate_is_taken_from_the_first_note_of_a_younger_job():
    found = told(at(30, 0), completed=60)

    assert {found.minute.samples, found.five_minutes.samples, found.hour.samples} == {2.0}
    assert found.hour.seconds == 30


def test_dead_letters_are_settled():
    assert told(at(60, 0, dead=0), completed=30, dead=30).minute.samples == 1.0


@pytest.mark.parametrize("history", [[], [at(2, 0)]], ids=["no note", "a note of just now"])
def test_too_short_a_time_gives_no_rate(history: list[Moment]):
    found = told(*history, completed=10)

    assert found.minute.samples == 0
    assert found.left is None


def test_books_that_went_back_give_no_rate():
    """As after a flush, or when letters were tried again."""
    assert told(at(60, 500), completed=100).minute.samples == 0


def test_letters_that_were_tried_again_take_nothing_off_the_rate():
    found = told(
        at(3600, 0, dead=50_000), at(1800, 1000, dead=50_000), at(1785, 1000), completed=3600
    )

    assert found.hour.samples == pytest.approx(1.0)
    assert found.hour.tokens == pytest.approx(10.0)


def test_books_that_were_emptied_take_nothing_off_the_tokens():
    assert told(at(60, 500), at(30, 800), at(15, 0), completed=300).minute.tokens == 100


def test_rate_after_a_night_without_processes_is_taken_since_then():
    night = at(12 * 3600 + 15, 0), at(12 * 3600, 1000)
    found = told(*night, at(20, 1000), completed=1100)

    assert {found.minute.samples, found.five_minutes.samples, found.hour.samples} == {5.0}
    assert found.hour.seconds == 20
    assert told(*night, completed=1000).minute.seconds == 0


def test_throughput_is_that_of_the_last_hour():
    found = throughput(snapshot(at(12 * 3600, 0), at(15, 1000), completed=1030))

    assert found == [(NOW, 2.0)]


def test_time_left_goes_by_the_last_minute():
    found = told(at(300, 0), at(60, 0), completed=60, planned=160)

    assert found.left == pytest.approx(100)


def test_time_left_of_a_job_that_stands_still_goes_by_the_minutes_before():
    found = told(at(300, 0), at(60, 300), completed=300, planned=400)

    assert found.left == pytest.approx(100)


def test_nothing_is_left_when_all_is_settled():
    assert told(at(60, 0), completed=90, dead=10, planned=100).left == 0


def test_nobody_knows_what_is_left_while_more_is_planned():
    counts = Counts(planned=100, completed=10)
    found = rates(Snapshot(NOW, counts, history=(at(60, 0),)))

    assert found.left is None


def test_throughput_is_told_between_notes():
    found = throughput(snapshot(at(45, 0), at(30, 15), at(15, 15), completed=45))

    assert found == [(NOW - 30, 1.0), (NOW - 15, 0.0), (NOW, 2.0)]
