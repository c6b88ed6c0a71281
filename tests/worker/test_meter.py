"""Meter: how long slots were free, and how long for no good reason."""

import pytest

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
    return made


def test_a_full_engine_is_not_free(clock: Clock):
    meter = Meter(1)
    meter.enter()
    clock.now += 10

    assert meter.shares() == (0.0, 0.0)


def test_a_free_slot_without_a_sample_is_free_and_not_idle(clock: Clock):
    meter = Meter(1)
    clock.now += 10

    assert meter.shares() == (1.0, 0.0)


def test_a_free_slot_beside_a_waiting_sample_is_idle(clock: Clock):
    meter = Meter(2)
    meter.wait(1)
    clock.now += 5
    meter.wait(-1)
    clock.now += 5

    assert meter.shares() == (1.0, 0.5)
