"""How many processes prepare: as many as fill the engine, and no more."""

from collections.abc import Callable

import pytest

from caption_flow.engine.preparing.load import Seen
from caption_flow.engine.preparing.sizing import (
    CROWDED_AT,
    GROW_AT,
    GROW_SECONDS,
    SHRINK_AT,
    SHRINK_SECONDS,
    Sizer,
)

LOOK = 0.5


def after(
    sizer: Sizer, seconds: float, see: Callable[[int], Seen], count: int, *, looks: float = LOOK
) -> list[int]:
    """Look for so long at what is seen of so many processes; answers how many there were."""
    counts = []
    for _ in range(round(seconds / looks)):
        count = sizer.look(count, see(count))
        counts.append(count)
    return counts


def starving(*, filled: float, starved: float, delayed: float = 0.0) -> Callable[[int], Seen]:
    return lambda _: Seen(LOOK, filled=filled, starved=starved, full=1.0, delayed=delayed)


def needing(processes: float) -> Callable[[int], Seen]:
    """An engine that so many processes fill."""

    def see(count: int) -> Seen:
        filled = min(1.0, count / processes)
        full = 1.0 if count < processes else 0.9 * (processes > count - 1)
        return Seen(LOOK, filled=filled, starved=1.0 - filled, full=full)

    return see


def test_there_is_one_while_nothing_is_lacking():
    assert set(after(Sizer(16), 120.0, starving(filled=1.0, starved=0.0), 1)) == {1}


def test_nothing_is_concluded_from_a_moment():
    assert set(after(Sizer(16), GROW_SECONDS - LOOK, starving(filled=0, starved=1), 1)) == {1}


def test_what_is_lacking_makes_them_as_many_again_at_most():
    see = starving(filled=0.1, starved=0.9)

    assert after(Sizer(16), GROW_SECONDS, see, 1)[-1] == 2
    assert after(Sizer(16), GROW_SECONDS, see, 5)[-1] == 10


def test_what_is_lacking_a_little_makes_them_one_more():
    see = starving(filled=0.9, starved=2 * GROW_AT)

    assert after(Sizer(16), 20.0, see, 8)[-1] == 9


def test_the_less_is_lacking_the_longer_it_must_last():
    def seconds(starved: float) -> float:
        return after(Sizer(16), 100.0, starving(filled=0.5, starved=starved), 1).index(2) * LOOK

    assert seconds(0.5) <= GROW_SECONDS < seconds(0.1) < seconds(0.05) < 15.0


def test_what_was_lacking_for_a_moment_now_and_then_does_not_count():
    """As on a host that does something else for a moment."""
    looks = iter(range(1200))

    def see(_: int) -> Seen:
        return Seen(LOOK, filled=0.9, starved=0.3 * (next(looks) % 20 == 0), full=0.5)

    assert set(after(Sizer(16), 600.0, see, 2)) == {2}


def test_a_few_slots_that_lack_them_do_not_count():
    see = starving(filled=0.5, starved=0.9 * GROW_AT)

    assert set(after(Sizer(16), 20.0, see, 2)) == {2}


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 11])
def test_as_many_are_found_as_fill_the_engine(needed: int):
    counts = after(Sizer(16), 600.0, needing(needed), 1)

    assert counts[-1] == needed
    assert max(counts) <= 2 * needed
    settled = counts[round(300 / LOOK) :]
    assert set(settled) == {needed}


def test_there_are_no_more_than_may_be():
    assert max(after(Sizer(3), 60.0, starving(filled=0.1, starved=0.9), 1)) == 3


def test_there_are_no_more_than_start():
    sizer = Sizer(8)
    sizer.limit(2)

    assert max(after(sizer, 60.0, starving(filled=0.1, starved=0.9), 2)) == 2


def test_there_are_no_more_where_those_there_are_wait_for_cores():
    see = starving(filled=0.1, starved=0.9, delayed=CROWDED_AT)

    assert set(after(Sizer(16), 60.0, see, 4)) == {4}


def test_the_last_of_them_ends_when_it_has_had_nothing_to_do_for_a_while():
    def see(_: int) -> Seen:
        return Seen(LOOK, filled=1.0, full=0.5 * SHRINK_AT)

    counts = after(Sizer(16), 2 * SHRINK_SECONDS, see, 4)

    assert counts[round(SHRINK_SECONDS / LOOK) - 2] == 4
    assert counts[round(SHRINK_SECONDS / LOOK) - 1] == 3
    assert counts[-1] == 2


def test_one_of_them_stays():
    assert after(Sizer(16), 10 * SHRINK_SECONDS, lambda _: Seen(LOOK), 3)[-1] == 1


def test_those_that_are_all_at_work_now_and_then_stay():
    def see(_: int) -> Seen:
        return Seen(LOOK, filled=1.0, full=2 * SHRINK_AT)

    assert set(after(Sizer(16), 10 * SHRINK_SECONDS, see, 4)) == {4}


def test_what_was_seen_of_others_is_forgotten():
    sizer = Sizer(16)
    for _ in range(10):
        assert after(sizer, GROW_SECONDS - LOOK, starving(filled=0, starved=1), 2)[-1] == 2
        sizer.forget()
