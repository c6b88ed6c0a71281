"""`caption-flow orchestrator`: feeds and writes; workers join by hand, as it says."""

import shlex

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.jobs import embedded
from tests.e2e.pictures import digests, draw, rows, said

SIMULATED = settings(engine="simulated", dataset__dataset_path="photos")


def start(desk: Desk, *more: str) -> tuple[Running, list[str]]:
    """Start it, and read off what it says how to add a worker."""
    running = desk.start("orchestrator", *SIMULATED, *more)
    found = wait_until(
        lambda: running.ended or [w for w in running.out.splitlines() if "Add a worker" in w],
        "how to add a worker",
    )
    assert isinstance(found, list), running.err
    [name, *words] = shlex.split(found[0].partition(": ")[2])
    assert name == "caption-flow"
    return running, words


def test_worker_that_joins_as_it_says_captions_all(desk: Desk):
    draw(desk.folder / "photos", 50)
    running, words = start(desk, "--exit-when-done")
    worker = desk.start(*words, "--exit-when-done")

    ended, worked = running.wait(), worker.wait()

    assert (ended.code, worked.code) == (0, 0)
    assert ended.out.splitlines()[-1] == "50 of 50 captioned, 0 given up."
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(
        digests(desk.folder / "photos").items()
    )


def test_it_serves_until_it_is_stopped(desk: Desk):
    draw(desk.folder / "photos", 5)
    running, words = start(desk)
    desk.start(*words)
    embedded(desk.folder / "caption_data", "photos").wait_for("captioned", 5)

    assert not running.ended
    assert running.terminate().code == 0


def test_it_says_which_redis_it_uses(desk: Desk, redis_url: str):
    draw(desk.folder / "photos", 1)
    running, _ = start(desk, "--redis", redis_url)

    assert f"Serving job photos on {redis_url}" in running.out
