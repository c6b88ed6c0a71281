"""Chart: the bars are what was settled, in their time."""

import pytest

from caption_flow.model import Counts
from caption_flow.monitor.chart import PLAIN, chart, columns, known
from caption_flow.queue.ports import Moment, Snapshot

NOW = 10_000.0


def snapshot(*history: tuple[float, int], completed: int) -> Snapshot:
    """Of a job that had completed so many so many seconds ago."""
    moments = tuple(Moment(NOW - ago, done, 0, 0) for ago, done in history)
    return Snapshot(NOW, Counts(planned=10**6, completed=completed), history=moments)


def test_each_column_has_the_rate_of_its_time():
    told = columns(snapshot((40, 0), (30, 10), (20, 10), (10, 40), completed=60), 4, 40.0)

    assert told == pytest.approx([1.0, 0.0, 3.0, 2.0])


def test_notes_within_a_column_are_averaged_by_their_length():
    told = columns(snapshot((40, 0), (30, 30), (10, 30), completed=40), 2, 40.0)

    assert told == pytest.approx([1.5, 0.5])


def test_of_the_time_before_the_first_note_nothing_is_known():
    assert columns(snapshot((20, 0), completed=20), 4, 40.0) == [None, None, 1.0, 1.0]


@pytest.mark.parametrize("width", [0, 1, 7, 500])
def test_all_that_is_known_is_drawn_in_any_width(width: int):
    told = columns(snapshot((40, 0), (25, 10), completed=40), width, 40.0)

    assert len(told) == width
    assert None not in told


def test_without_notes_nothing_is_drawn():
    assert chart(columns(snapshot(completed=5), 3, 60.0), 2) == ["   ", "   "]


def test_highest_fills_all_lines_and_nothing_is_a_line_at_the_bottom():
    assert chart([8.0, 4.0, 0.0, None], 2) == ["█▁  ", "██▁ "]


def test_little_is_more_than_nothing():
    [line] = chart([1000.0, 1.0, 0.0], 1)

    assert len(set(line)) == 3


def test_chart_in_ascii_is_in_ascii():
    assert "".join(chart([3.0, 2.0, 1.0, 0.0], 3, PLAIN)).isascii()


def test_at_least_minutes_and_at_most_an_hour_are_drawn():
    assert known(snapshot((20, 0), completed=1)) == 300
    assert known(snapshot((1000, 0), completed=1)) == 1000
    assert known(snapshot((7200, 0), (3620, 0), completed=1)) == 3600
    assert known(snapshot(completed=1)) == 300
