"""Limits: what holds a job up, told from how things stand. Arranged jobs are in tests/e2e."""

from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.model import Counts
from caption_flow.monitor.limits import Limit, limit
from caption_flow.monitor.living import SILENT
from caption_flow.queue.ports import Member, Snapshot, Stream

NOW = 1000.0
BUSY = {"slots": 10.0, "running": 10.0, "free_lately": 0.01, "idle_lately": 0.0}
HUNGRY = {"slots": 10.0, "running": 1.0, "free_lately": 0.9, "idle_lately": 0.0}
CLUMSY = {
    "slots": 10.0,
    "running": 5.0,
    "in_hand": 20.0,
    "free_lately": 0.6,
    "idle_lately": 0.5,
}
AT_EASE = {"budget_bytes": 1e6, "budget_samples": 100.0, "full_lately": 0.0}
FULL = {**AT_EASE, "full_lately": 0.95}


def member(role: str, figures: dict[str, float], state: str = "working", ago: float = 0) -> Member:
    return Member(role, role, "host", 1, 0.0, NOW - ago, state, figures)


def worker(figures: dict[str, float], **more: Any) -> Member:
    return member("worker", figures, **more)


FEEDER, WAITING_FEEDER, SINK = member("feed", AT_EASE), member("feed", FULL), member("sink", {})


def found(
    *members: Member,
    waiting: int = 20,
    held: int = 20,
    planned: int = 1000,
    unwritten: int = 0,
    captioned: int = 0,
    paused: bool = False,
    **counts: Any,
) -> Limit:
    """Tell of a job, of which so much is in its stage and in no part yet."""
    offered = captioned + unwritten + waiting + held
    books = Counts(
        planned=planned,
        plan_done=True,
        offered=offered,
        completed=captioned + unwritten,
        captioned=captioned,
        **counts,
    )
    streams = (
        Stream("chunks", 1, 1),
        Stream("samples:caption", waiting, held),
        Stream("captions", unwritten, 0),
    )
    return limit(Snapshot(NOW, books, members, streams, paused=paused))


def test_slow_feeder():
    told = found(FEEDER, worker(HUNGRY), SINK, waiting=0, held=1)

    assert told.kind == "feeding"
    assert told.figures["free_lately"] == pytest.approx(0.9)


def test_slow_engine():
    told = found(WAITING_FEEDER, worker(BUSY), SINK)

    assert told.kind == "engine"
    assert "99%" in told.sentence
    assert (told.figures["slots"], told.figures["running"]) == (10, 10)


def test_no_workers():
    told = found(WAITING_FEEDER, SINK)

    assert told.kind == "workers"
    assert told.sentence == "No worker runs, and 40 samples wait."


def test_workers_that_start():
    told = found(FEEDER, worker({}, state="starting"), SINK)

    assert (told.kind, told.sentence) == ("workers", "Workers are loading their models.")


LOADING = {**BUSY, "slots": 0.0, "running": 0.0, "free_lately": 0.0}


@pytest.mark.parametrize("state", ["reloading", "working"], ids=["another", "again"])
def test_workers_that_load_a_model_later_on(state: str):
    told = found(FEEDER, worker(LOADING, state=state), SINK)

    assert (told.kind, told.sentence) == ("workers", "Workers are loading their models.")
    assert told.figures["starting"] == 1
    assert found(FEEDER, worker(LOADING, state=state), worker(BUSY), SINK).kind == "engine"


def test_workers_that_cannot_caption_say_why():
    idle = worker(LOADING, state="idle: no model large: it needs leave")

    assert found(FEEDER, idle, SINK).sentence == (
        "No worker can caption: no model large: it needs leave"
    )
    elsewhere = replace(worker(BUSY, state="working: no model large"), facts={"stages": "other"})
    assert found(FEEDER, elsewhere, SINK).sentence == (
        "No worker serves the stage caption, and 40 samples wait. "
        "One that serves others says: no model large"
    )


def test_workers_that_are_silent_do_not_count():
    assert found(FEEDER, worker(BUSY, ago=SILENT + 1), SINK).kind == "workers"


def test_no_sink():
    told = found(WAITING_FEEDER, worker(HUNGRY), waiting=0, held=0, unwritten=100)

    assert (told.kind, told.figures["unwritten"]) == ("sink", 100)
    assert told.sentence == "No sink runs, and 100 captions wait to be written."


def test_no_sink_is_not_what_limits_while_there_is_room():
    assert found(FEEDER, worker(BUSY), unwritten=10).kind == "engine"


def test_no_sink_at_the_end():
    told = found(FEEDER, worker(HUNGRY), waiting=0, held=0, unwritten=10, planned=10)

    assert told.kind == "sink"


def test_slow_sinks():
    told = found(WAITING_FEEDER, worker(HUNGRY), SINK, waiting=2, held=2, unwritten=96)

    assert told.kind == "sink"
    assert told.sentence.startswith("Sinks: 96 captions wait")


def test_sinks_do_not_limit_while_engines_are_busy():
    """Feeders fill the budget, and half of it may wait for the next part of a sink that is fine."""
    told = found(WAITING_FEEDER, worker(BUSY), SINK, waiting=20, held=20, unwritten=60)

    assert told.kind == "engine"


def test_budget_that_is_fuller_is_named():
    told = found(WAITING_FEEDER, worker(HUNGRY), SINK, waiting=0, held=98, bytes_in_flight=950_000)

    assert "98 of 100 samples" in told.sentence


def test_small_budget():
    told = found(WAITING_FEEDER, worker(HUNGRY), SINK, waiting=0, held=98)

    assert told.kind == "budget"
    assert "98 of 100 samples" in told.sentence


def test_small_budget_of_bytes():
    told = found(WAITING_FEEDER, worker(HUNGRY), SINK, waiting=0, held=5, bytes_in_flight=950_000)

    assert told.kind == "budget"
    assert "950,000 of 1,000,000 bytes" in told.sentence


def test_workers_without_cpu():
    told = found(FEEDER, worker(CLUMSY), SINK)

    assert told.kind == "preparing"
    assert told.sentence.startswith("Workers prepare images more slowly")


def test_slots_that_wait_for_what_lies_in_redis_want_no_faster_preparing():
    told = found(FEEDER, worker({**CLUMSY, "in_hand": 6.0}), SINK, waiting=80, held=6)

    assert told.kind == "preparing"
    assert told.sentence.startswith("Workers take samples more slowly")


def test_workers_that_take_too_slowly():
    told = found(WAITING_FEEDER, worker(HUNGRY), SINK, waiting=80, held=5)

    assert told.kind == "preparing"
    assert told.sentence.startswith(
        "Workers take samples more slowly than engines caption them: 80"
    )


def test_engines_of_the_stage_where_most_wait_limit():
    streams = Stream("samples:look", 50, 10), Stream("samples:tell", 0, 1)
    busy = replace(worker(BUSY), name="looks", facts={"stages": "look"})
    free = replace(worker(HUNGRY), name="tells", facts={"stages": "tell, other"})
    books = Counts(planned=1000, plan_done=True, offered=61)

    told = limit(Snapshot(NOW, books, (FEEDER, busy, free, SINK), streams))
    assert (told.kind, told.figures["slots"]) == ("engine", 10)
    left = limit(Snapshot(NOW, books, (FEEDER, free, SINK), streams))
    assert (left.kind, left.sentence) == (
        "workers",
        "No worker serves the stage look, and 61 samples wait.",
    )


def test_worker_of_several_engines_is_told_by_the_one_where_most_wait():
    streams = Stream("samples:look", 50, 10), Stream("samples:tell", 0, 1)
    own = {"slots": 10.0, "free_lately": 0.0, "running": 10.0, "in_hand": 30.0, "idle_lately": 0.0}
    looks = {f"{name}:look": value for name, value in own.items()}
    tells = {f"{name}:tell": value for name, value in (own | {"free_lately": 1.0}).items()}
    both = {**HUNGRY, "free_lately": 0.5, "slots": 20.0, **looks, **tells}
    books = Counts(planned=1000, plan_done=True, offered=61)

    def told(figures: dict[str, float]) -> Limit:
        one = replace(worker(figures), facts={"stages": "look, tell"})
        return limit(Snapshot(NOW, books, (FEEDER, one, SINK), streams))

    assert (told(both).kind, told(both).figures["slots"]) == ("engine", 10)
    assert told(both | {"slots:look": 0.0}).sentence == "Workers are loading their models."


def test_images_that_workers_wait_for():
    waits = {**HUNGRY, "in_hand": 36.0, "coming": 30.0}
    told = found(FEEDER, worker(waits), SINK, waiting=0, held=36)

    assert told.kind == "preparing"
    assert told.sentence == (
        "Workers wait for images from where they lie: those of 30 of 36 samples are on their way, "
        "while slots are free for 90% of the time."
    )
    few = {**HUNGRY, "in_hand": 4.0, "coming": 3.0}
    assert found(FEEDER, worker(few), SINK, waiting=0, held=4).kind == "feeding"


def test_process_that_is_silent_is_told_from_one_that_is_not_there():
    silent = member("sink", {}, ago=SILENT + 1)
    told = found(WAITING_FEEDER, worker(HUNGRY), silent, waiting=0, held=0, unwritten=100)

    assert told.sentence.startswith("No sink was heard of for 20 s, and 100 captions wait")


def test_larger_engines_weigh_more():
    small = worker({"slots": 1.0, "free_lately": 1.0})
    large = worker({"slots": 63.0, "free_lately": 0.0})

    assert found(FEEDER, small, large, SINK).kind == "engine"


def test_nobody_feeds():
    told = found(worker(HUNGRY), SINK, waiting=0, held=0)

    assert (told.kind, told.sentence) == ("feeding", "No feeder runs, and there is more to feed.")


def test_last_samples():
    assert found(FEEDER, worker(HUNGRY), SINK, waiting=0, held=3, planned=3).kind == "nothing"


def test_done():
    assert found(SINK, waiting=0, held=0, captioned=10, planned=10).kind == "done"


def test_data_set_without_samples():
    told = limit(Snapshot(NOW, Counts(plan_done=True), (FEEDER,)))

    assert told.kind == "done"
    assert told.sentence == "Nothing: the data set has no samples, so none was planned."


def test_paused():
    assert found(FEEDER, worker(HUNGRY), SINK, paused=True).kind == "paused"


def test_job_of_which_nothing_is_known():
    assert limit(Snapshot(NOW, Counts())).kind == "feeding"
