"""`caption-flow run`: everything on one machine, again and again, stopped in every way."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import Struct

from caption_flow.lifecycle import EXIT_FORCED, TWICE_SECONDS
from tests.e2e.desk import Desk, Ended, Running, settings, wait_until
from tests.e2e.jobs import Job, embedded
from tests.e2e.pictures import draw
from tests.e2e.runs import (
    FEW,
    SIMULATED,
    SLOW,
    Captioned,
    assert_complete,
    captioned_at,
    processes_in,
    run,
)

IMAGES = 140


class Stopped(Struct, frozen=True):
    """A run that has captioned a part of its images and goes on."""

    running: Running
    job: Job


def go_halfway(desk: Desk) -> Stopped:
    draw(desk.folder / "photos", IMAGES)
    running = desk.start("run", "photos", *SLOW, *FEW)
    job = embedded(desk.folder / "caption_data", "photos")
    wait_until(lambda: running.ended or job.count("captioned") >= 50, "a run that is halfway")
    assert not running.ended, running.err
    return Stopped(running, job)


@pytest.fixture
def halfway(desk: Desk) -> Stopped:
    """A run in the middle of its work, to do harm to."""
    return go_halfway(desk)


def freeze_redis(halfway: Stopped) -> int:
    """Let it stand still for longer than the run waits for an answer; answers its process id."""
    pid = int(halfway.job.information("process_id"))
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "did not answer in time" in halfway.running.err, "a run that waits")
    return pid


class Ending(Struct, frozen=True):
    """A run that was interrupted while its Redis stood still."""

    folder: Path
    ended: "Future[Ended]"


@pytest.fixture(scope="module", autouse=True)
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ending]:
    """Its roles have their time, most of a minute; the other tests go on meanwhile."""
    with Desk(tmp_path_factory.mktemp("frozen") / "desk") as desk, ThreadPoolExecutor(1) as beside:
        halfway = go_halfway(desk)

        def interrupt() -> Ended:
            freeze_redis(halfway)
            return halfway.running.interrupt()

        yield Ending(desk.folder, beside.submit(interrupt))


class Interrupted(Struct, frozen=True):
    """A run that was ended with Ctrl-C, and done again."""

    ended: Ended
    left: list[int]  # processes
    before: dict[str, object]  # sample id -> when it was captioned
    again: Captioned


@pytest.fixture(scope="module")
def interrupted(shared_desk: Desk) -> Interrupted:
    ended = go_halfway(shared_desk).running.interrupt()
    left = processes_in(shared_desk.folder)
    before = captioned_at(shared_desk)
    return Interrupted(ended, left, before, run(shared_desk, *SLOW, *FEW))


def test_interrupted_run_ends_with_1_and_says_how_to_go_on(interrupted: Interrupted):
    assert interrupted.ended.code == 1
    assert "the same command goes on" in interrupted.ended.out.splitlines()[-1]


def test_interrupted_run_leaves_no_process(interrupted: Interrupted):
    assert interrupted.left == []


def test_interrupted_run_keeps_what_it_has(interrupted: Interrupted):
    assert 50 <= len(interrupted.before) < IMAGES


def test_interrupted_run_goes_on_where_it_was(interrupted: Interrupted):
    assert interrupted.again.ended.code == 0
    assert interrupted.before.items() <= interrupted.again.rows.items()


def test_killed_run_takes_all_with_it_and_can_be_done_again(
    desk: Desk, halfway: Stopped, record_property: Callable[[str, object], None]
):
    halfway.running.kill()
    begun = time.monotonic()
    wait_until(lambda: processes_in(desk.folder) == [], "children and server to end", 15)
    record_property("all_gone_seconds", round(time.monotonic() - begun, 2))

    again = run(desk, *SLOW, *FEW)

    assert again.ended.code == 0, again.ended.words
    assert list((desk.folder / "caption_data" / "photos").glob(".part-*")) == []


def test_killed_worker_is_started_again(
    desk: Desk, halfway: Stopped, record_property: Callable[[str, object], None]
):
    [killed] = halfway.job.pids("worker")
    os.kill(killed, signal.SIGKILL)
    begun = time.monotonic()
    wait_until(lambda: set(halfway.job.pids("worker")) - {killed}, "a new worker")
    record_property("new_worker_seconds", round(time.monotonic() - begun, 2))

    ended = halfway.running.wait()

    assert ended.code == 0, ended.words
    assert_complete(desk, "photos")


@pytest.mark.parametrize(("role", "child"), [("worker", "worker-0"), ("sink", "sink")])
def test_role_that_somebody_else_asked_to_end_is_started_again(
    desk: Desk, halfway: Stopped, role: str, child: str
):
    """It drains and ends well, but the job is not over."""
    [asked] = halfway.job.pids(role)
    os.kill(asked, signal.SIGTERM)

    ended = halfway.running.wait()

    assert ended.code == 0, ended.words
    assert_complete(desk, "photos")
    assert f"{child} has ended too early" in ended.err


def test_emptied_redis_costs_only_what_is_in_no_part(desk: Desk, halfway: Stopped):
    """The parts are the truth."""
    halfway.running.kill()
    wait_until(lambda: processes_in(desk.folder) == [], "children and server to end")
    before = captioned_at(desk)
    shutil.rmtree(desk.folder / "caption_data" / ".redis")

    again = run(desk, *SIMULATED, *FEW)

    assert len(before) >= 50
    assert before.items() <= again.rows.items()
    log = (desk.folder / "caption_data" / ".logs" / "photos" / "worker-0.log").read_text()
    assert log.splitlines()[-1] == f"Captioned {IMAGES - len(before)} samples; gave up 0."


def test_two_jobs_share_a_data_dir(desk: Desk):
    """And one Redis: when the run that started it ends, the other one takes it over."""
    draw(desk.folder / "cats", 40)
    draw(desk.folder / "dogs", 150, first=40)
    cats = desk.start("run", "cats", *SLOW)
    embedded(desk.folder / "caption_data", "cats").wait_for("planned", 1)
    dogs = desk.start("run", "dogs", *SLOW)

    for running, name in ((cats, "cats"), (dogs, "dogs")):
        ended = running.wait()
        assert ended.code == 0, ended.words
        assert_complete(desk, name)


def test_killed_redis_is_started_again(desk: Desk, halfway: Stopped):
    """With what it had synced; what it had not is fed and captioned again."""
    os.kill(int(halfway.job.information("process_id")), signal.SIGKILL)

    ended = halfway.running.wait()

    assert ended.code == 0, ended.words
    assert_complete(desk, "photos")


def test_run_interrupted_again_ends_at_once_though_redis_stands_still(desk: Desk, halfway: Stopped):
    frozen = freeze_redis(halfway)
    begun = time.monotonic()
    halfway.running.signal(signal.SIGINT)
    wait_until(lambda: time.monotonic() - begun > TWICE_SECONDS, "a second")

    ended = halfway.running.interrupt()

    assert ended.code == EXIT_FORCED
    assert time.monotonic() - begun < 5
    wait_until(lambda: processes_in(desk.folder) == [frozen], "children to end")
    os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: processes_in(desk.folder) == [], "the server to end")


def test_redis_emptied_on_the_way_is_fed_again(desk: Desk, halfway: Stopped):
    """By the same command, without being asked, and only with what is in no part."""
    before = captioned_at(desk)
    halfway.job.cli("FLUSHALL")

    ended = halfway.running.wait()

    assert ended.code == 0, ended.words
    assert_complete(desk, "photos")
    assert before.items() <= captioned_at(desk).items()


def test_engine_that_cannot_be_ends_the_run_with_2_and_the_workers_sentence(desk: Desk):
    endpoints = "[{base_url: 'http://127.0.0.1:1/v1', api_key_env: UNSET_API_KEY, model: m}]"
    draw(desk.folder / "photos", 3)

    ended = desk.run("run", "photos", *settings(engine="openai", openai__endpoints=endpoints))

    assert ended.code == 2
    assert "UNSET_API_KEY is not set" in ended.err
    assert "Traceback" not in ended.err
    assert processes_in(desk.folder) == []


def test_interrupted_run_ends_though_redis_stands_still(ending: Ending):
    """Its roles are asked to end, and have their time."""
    ended = ending.ended.result()

    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("Stopped while waiting for Redis.")
    assert "killing it" not in ended.err
    assert processes_in(ending.folder) == []
