"""Tuner: what is done at once follows what is measured, and stays where it is when that does."""

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from caption_flow.worker.tuner import AHEAD_LEAST, BATCH_MOST, Chosen, Measured, Tuner

LOOK = 0.05


def looks(tuner: Tuner, rate: float, seconds: float, **takes: Any) -> Iterator[Chosen]:
    """Look at so many a second, which leave at random, for so long."""
    chance = random.Random(7)
    for _ in range(int(seconds / LOOK)):
        left = sum(chance.random() < LOOK for _ in range(round(rate)))
        yield tuner.look(Measured(LOOK, left, left, **takes))


def last(tuner: Tuner, rate: float, seconds: float = 60.0, **takes: Any) -> Chosen:
    return list(looks(tuner, rate, seconds, **takes))[-1]


def test_nothing_changes_before_a_request_has_left():
    tuner = Tuner(capacity=64, most=128)
    first = tuner.chosen

    assert last(tuner, 0) == first
    assert (first.claim_ahead, first.in_flight) == (64, 80)


def test_claims_run_ahead_by_what_they_take():
    tuner = Tuner(capacity=64, most=64)

    assert last(tuner, 200, claim=0.2, fetch=0.2, prepare=0.1).claim_ahead >= 200 * 0.7


def test_slow_engine_leaves_to_others_what_it_need_not_have_yet():
    slow = last(Tuner(capacity=64, most=64), 2, claim=0.001, fetch=0.001)

    assert AHEAD_LEAST <= slow.claim_ahead < 16


def test_claims_run_no_further_ahead_than_images_may_be_held():
    near = Tuner(capacity=8, most=8)

    assert last(near, 1000, claim=1.0, image=4e6).claim_ahead <= 1 + (128 << 20) / 4e6


def test_slots_that_end_together_find_the_next_ones_inside():
    tuner = Tuner(capacity=32, most=64)
    for step in range(200):
        left = 32 if step % 50 == 0 else 0
        chosen = tuner.look(Measured(LOOK, left, left))

    assert chosen.in_flight >= 60
    assert chosen.claim_ahead >= 32


def test_no_more_are_inside_than_may_be():
    assert last(Tuner(capacity=64, most=70), 5000, late=0.5).in_flight == 70
    assert last(Tuner(capacity=64, most=64), 5000, late=0.5).in_flight == 64


def test_slow_queue_is_asked_for_more_at_once():
    chosen = last(Tuner(capacity=64, most=64), 500, fetch=0.2, settle=0.2)

    assert chosen.fetches * 8 >= 500 * 0.2
    assert 500 * 0.2 <= chosen.complete_batch <= BATCH_MOST


def test_what_was_chosen_does_not_swing():
    tuner = Tuner(capacity=64, most=128)
    last(tuner, 400, seconds=30.0, claim=0.02, fetch=0.01)
    steady = [each.claim_ahead for each in looks(tuner, 400, 30.0, claim=0.02, fetch=0.01)]

    assert max(steady) - min(steady) <= 0.3 * max(steady)
    turns = [b - a for a, b in pairwise(steady) if a != b]
    assert len(turns) < len(steady) / 10


def test_what_is_not_needed_any_more_comes_down_slowly():
    tuner = Tuner(capacity=8, most=8)
    high = last(tuner, 200, claim=0.5).claim_ahead
    soon = last(tuner, 200, seconds=1.0, claim=0.0).claim_ahead

    assert 0.7 * high < soon < high
    assert last(tuner, 200, claim=0.0).claim_ahead < high / 3


def test_prompts_of_a_sample_are_requests_and_one_sample():
    tuner, single = Tuner(capacity=64, most=512), Tuner(capacity=64, most=512)
    for _ in range(200):
        one = Measured(LOOK, 10, 10)
        several = tuner.look(replace(one, requests=40))
        alone = single.look(one)

    assert several.claim_ahead == alone.claim_ahead
    assert several.in_flight > alone.in_flight


def test_requests_that_are_prepared_inside_take_no_slot_from_others():
    without = last(Tuner(capacity=8, most=64), 5)
    prepared = last(Tuner(capacity=8, most=64), 5, preparers=6)

    assert prepared.in_flight == without.in_flight + 6
    assert last(Tuner(capacity=8, most=10), 5, preparers=6).in_flight == 10
