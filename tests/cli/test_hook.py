"""post_exec_hook: run after a worker has left its job, and told of when it fails."""

import pytest

from tests.e2e.desk import Desk, Ended, settings, wait_until
from tests.e2e.pictures import draw


@pytest.fixture
def fed(desk: Desk, redis_url: str) -> tuple[str, ...]:
    """A job of one image; answers where it is."""
    at = ("--redis", redis_url, "--job", "j")
    desk.run("feed", draw(desk.folder / "photos", 1), *at, *settings(engine="simulated"))
    return at


def work(desk: Desk, at: tuple[str, ...], hook: str) -> Ended:
    document = desk.folder / "worker.yaml"
    document.write_text(f"post_exec_hook: {hook}")
    return desk.run("worker", *at, "--exit-when-done", "--config", document)


def test_hook_runs_after_the_job(desk: Desk, fed: tuple[str, ...]):
    ended = work(desk, fed, "touch left")

    assert ended.code == 0, ended.words
    assert (desk.folder / "left").exists()


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("exit 3", "(exit 3) has ended with code 3."),
        ('["false", "a b"]', "(false 'a b') has ended with code 1."),
        ('["./missing"]', "(./missing) cannot be run: "),
    ],
)
def test_hook_that_fails_is_named(desk: Desk, fed: tuple[str, ...], hook: str, said: str):
    ended = work(desk, fed, hook)

    assert ended.code == 1
    assert f"Error: post_exec_hook {said}" in ended.err
    assert "should not happen" not in ended.err


def test_hook_is_not_run_where_there_was_no_job(desk: Desk, redis_url: str):
    hook = settings(post_exec_hook="touch left")
    running = desk.start("worker", "--redis", redis_url, *hook)
    wait_until(lambda: "Waiting for a job" in running.err or running.ended, "a worker that waits")

    assert running.terminate().code == 0
    assert not (desk.folder / "left").exists()
