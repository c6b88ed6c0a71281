"""What an engine lacked: slots that were free while images waited for a process."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from caption_flow.engine.preparing.load import Load, Where


class Clock:
    """Time as a test tells it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of a load."""
    made = Clock()
    monkeypatch.setattr("caption_flow.engine.preparing.load.time.monotonic", made)
    return made


def held(load: Load, stack: ExitStack, **counts: int) -> None:
    """Have so many requests at each place."""
    for where, count in counts.items():
        place: Where = where.replace("_", " ")  # type: ignore[assignment]
        for _ in range(count):
            stack.enter_context(load.one(place))


@pytest.mark.parametrize(
    ("asked", "at_work", "answered", "starved"),
    [
        (0, 0, 2, 0.0),  # slots are free, and nothing waits
        (3, 1, 2, 0.25),  # two wait for a process, while six slots of eight are free
        (9, 1, 6, 0.25),  # eight wait, while two slots are free
        (9, 1, 8, 0.0),
        (9, 1, 20, 0.0),
        (1, 1, 0, 0.0),  # what has a process is served by no other
    ],
)
def test_slots_lack_what_waits_for_a_process(
    clock: Clock, asked: int, at_work: int, answered: int, starved: float
):
    load = Load(8)
    with ExitStack() as stack:
        held(load, stack, asked=asked, at_work=at_work, answered=answered)
        load.look()
        clock.now += 4.0

        seen = load.look()
        assert (seen.seconds, seen.starved) == (4.0, starved)
        assert seen.filled == min(1.0, answered / 8)


def test_time_between_two_looks_is_all_counted(clock: Clock):
    load = Load(4)
    load.count = 2
    with ExitStack() as stack:
        held(load, stack, asked=4, at_work=2)
        clock.now += 1.0
    clock.now += 3.0

    seen = load.look(delay=0.5)
    assert (seen.starved, seen.full, seen.delayed) == (0.125, 0.25, 0.25)
    assert load.look(delay=0.5).delayed == 0.0
