"""Meter: which share of the slots was free, and which for no good reason."""

import pytest

from caption_flow import lately
from caption_flow.worker import meter as metering
from caption_flow.worker.meter import Meter


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(metering, "time", made)
    monkeypatch.setattr(lately, "time", made)
    return made


def test_a_full_engine_is_not_free(clock: Clock):
    meter = Meter(1)
    meter.enter()
    clock.now += 10

    assert meter.shares() == (0.0, 0.0)


def test_requests_that_wait_inside_fill_no_slot_twice(clock: Clock):
    meter = Meter(2)
    for _ in range(4):
        meter.enter()
    clock.now += 5
    for _ in range(4):
        meter.exit()
    clock.now += 5

    assert meter.shares() == (0.5, 0.0)


def test_a_free_slot_without_a_sample_is_free_and_not_idle(clock: Clock):
    meter = Meter(1)
    clock.now += 10

    assert meter.shares() == (1.0, 0.0)


def test_each_slot_weighs_its_part(clock: Clock):
    meter = Meter(4)
    meter.enter()
    meter.wait(1)
    clock.now += 10

    assert meter.shares() == (0.75, 0.75)


def test_a_sample_that_waits_in_the_queue_counts_as_one_here(clock: Clock):
    meter = Meter(2)
    meter.enter()
    meter.more(elsewhere=True)
    clock.now += 10

    assert meter.shares() == (0.5, 0.5)


def test_time_without_work_for_all_slots_is_nobodys_fault_or_merit(clock: Clock):
    """Before the first samples and after the last ones, an engine is not idle, nor kept busy."""
    meter = Meter(2)
    clock.now += 100
    meter.wait(1)
    meter.enter()
    clock.now += 5  # one of two slots is free, and a sample waits
    meter.wait(-1)
    meter.enter()
    clock.now += 5
    meter.exit()
    clock.now += 100

    free, idle = meter.shares()

    assert idle == 0.25
    assert free == (100 + 2.5 + 50) / 210


def test_shares_of_the_last_seconds_forget_the_rest(clock: Clock):
    meter = Meter(2)
    meter.wait(1)
    meter.lately()
    for _ in range(20):
        clock.now += 1
        meter.lately()
    meter.enter()
    for _ in range(20):
        clock.now += 1
        last = meter.lately()

    assert last == (0.5, 0.5)
