"""A Redis or a job that is not there yet is waited for, aloud; a stop ends the waiting."""

import signal
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

ROLES = ("feed", "worker", "sink")


@pytest.fixture
def absent(tmp_path: Path) -> RedisServer:
    """A server that is not started yet."""
    return RedisServer(tmp_path / "redis")


def start(desk: Desk, role: str, url: str) -> Running:
    own = (
        ()
        if role == "worker"
        else settings(engine="simulated", dataset__dataset_path=draw(desk.folder / "imgs", 3))
    )
    leaves = () if role in {"feed", "run"} else ("--exit-when-done",)
    return desk.start(role, "--redis", url, "--job", "j", *leaves, *own)


def wait_for_words(running: Running, words: str) -> None:
    wait_until(lambda: words in running.err or running.ended, words)
    assert not running.ended, running.err


def test_roles_wait_for_redis_and_go_on_when_it_comes(desk: Desk, absent: RedisServer):
    roles = {role: start(desk, role, absent.url) for role in ROLES}
    for running in roles.values():
        wait_for_words(running, f"No answer from 127.0.0.1:{absent.port}")

    with absent:
        ended = {role: running.wait() for role, running in roles.items()}

    assert {role: done.code for role, done in ended.items()} == dict.fromkeys(ROLES, 0)
    assert said(rows(desk.folder / "caption_data" / "j")) == sorted(
        digests(desk.folder / "imgs").items()
    )


def test_stop_while_waiting_for_redis_is_clean(desk: Desk, absent: RedisServer):
    """By either signal."""
    numbers = {"feed": signal.SIGTERM, "worker": signal.SIGINT, "sink": signal.SIGTERM}
    roles = {role: start(desk, role, absent.url) for role in ROLES}
    for running in roles.values():
        wait_for_words(running, "No answer")

    for role, running in roles.items():
        running.signal(numbers[role])

    for done in [running.wait() for running in roles.values()]:
        assert done.code == 0
        assert done.err.splitlines()[-1].startswith("Stopped while waiting for Redis. No answer")
        assert "Traceback" not in done.err


@pytest.mark.parametrize(("role", "code"), [("orchestrator", 0), ("run", 1)])
def test_stop_of_a_job_that_waits_for_redis_is_clean(
    desk: Desk, absent: RedisServer, role: str, code: int
):
    """But `run` has not done what it is for."""
    running = start(desk, role, absent.url)
    wait_for_words(running, "No answer")

    ended = running.terminate()

    assert ended.code == code
    assert ended.err.splitlines()[-1].startswith("Stopped while waiting for Redis. No answer")
    assert "Traceback" not in ended.err


def test_stop_while_waiting_for_a_job_is_clean(desk: Desk, redis_url: str):
    running = desk.start("worker", "--redis", redis_url)
    wait_for_words(running, "Waiting for a job")

    assert running.terminate().code == 0
