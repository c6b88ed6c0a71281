"""Steady part of a run: without the beginning and the end, in which the engine is not full."""

from caption_flow.bench.steady import Look, machine_cpu, steady


def look(at: float, captions: int, free: float = 0.0, limit: str = "engine") -> Look:
    return Look(at, captions, free, 0.0, worker_cpu=at / 2, limit=limit, why=f"It is {limit}.")


def test_pace_is_that_of_the_middle():
    start = [look(0, 0, 1.0), look(5, 5, 0.9)]
    middle = [look(6 + n, 10 + 10 * n, 0.1) for n in range(9)]
    end = [look(16, 95, 0.8), look(20, 100, 1.0)]

    found = steady([*start, *middle, *end], wanted=100, load=10)

    assert found.rate == 10.0
    assert round(found.free, 6) == 0.1
    assert found.worker_cores == 0.5


def test_run_that_was_too_short_is_taken_whole():
    found = steady([look(0, 0), look(1, 40), look(2, 100)], wanted=100, load=64)

    assert found.captions == 100
    assert found.rate == 50.0


def test_run_that_was_over_before_its_worker_had_begun_has_no_pace():
    assert steady([], wanted=100, load=64).rate == 0.0


def test_what_held_it_up_is_what_did_so_most_of_the_time():
    limits = ["feeding", "engine", "feeding", "feeding"]
    looks = [look(n, 10 * n, limit=limit) for n, limit in enumerate(limits)]

    found = steady(looks, wanted=40, load=1)

    assert (found.limit, found.why) == ("feeding", "It is feeding.")


def test_machine_tells_of_its_cores_where_it_has_a_place_for_that():
    told = machine_cpu()

    assert told is None or 0 < told[0] < told[1]
