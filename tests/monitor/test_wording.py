"""Wording: times, rates and shares are short, and say how much is meant."""

import time

import pytest

from caption_flow.monitor import wording


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (None, "-", "-"),
        (0, "0 s", "0 s"),
        (59.6, "1 min 00 s", "60 s"),
        (119, "1 min 59 s", "119 s"),
        (125, "2 min 05 s", "2 min"),
        (3720, "1 h 02 min", "62 min"),
        (100_000, "1 d 3 h", "27 h"),
        (-5, "0 s", "0 s"),
    ],
)
def test_span(seconds: float | None, long: str, short: str):
    assert (wording.span(seconds), wording.short(seconds)) == (long, short)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-"), (0, "0.0/s"), (0.123, "0.12/s"), (12.34, "12.3/s"), (12_345.6, "12,346/s")],
)
def test_rate(value: float | None, said: str):
    assert wording.rate(value) == said


def test_clock_has_the_day_where_that_is_another():
    now = time.time()

    assert len(wording.clock(now)) == len("12:00:00")
    assert wording.clock(now - 3 * 86400).count("-") == 1


@pytest.mark.parametrize("at", [1e300, -1e300, float("nan"), float("inf")])
def test_clock_of_a_time_that_is_none(at: float):
    assert wording.clock(at) == "-"


def test_share():
    assert (wording.share(None), wording.share(0.123), wording.share(1)) == ("-", "12%", "100%")
