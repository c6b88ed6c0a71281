"""Mistakes are answered with a sentence and an exit code: 2 for what the user wrote, else 1."""

import pytest

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.pictures import draw
from tests.redis_server import RedisServer

SIMULATED = settings(engine="simulated")
REDIS = ("--redis", "redis://localhost:1")  # nobody answers there


def assert_refused(done: Ended, code: int, *pieces: str) -> None:
    """It ended with this code and with these words, and without a traceback."""
    assert done.code == code, done.words
    assert [piece for piece in pieces if piece not in done.err] == [], done.words
    assert "Traceback" not in done.err


WRONG: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "unknown command": (("captoin",), 2, ("captoin",)),
    "unknown option": (("run", "--engin", "vllm"), 2, ("--engin", "--engine")),
    "value that is no choice": (("run", "--engine", "tgi"), 2, ("'tgi'", "simulated")),
    "missing document": (("feed", "--config", "none.yaml"), 2, ("none.yaml is not there",)),
    "change without a value": (("feed", "--set", "chunk_size"), 2, ("KEY=VALUE",)),
    "worker without Redis": (("worker",), 2, ("--redis URL", "worker.yaml")),
    "feed without Redis": (("feed", ".", *SIMULATED), 2, ("--redis URL", "caption-flow run")),
    "sink without Redis": (("sink", "--job", "j"), 2, ("--redis URL", "caption-flow run")),
    "run without a data set": (("run", *SIMULATED), 2, ("dataset.dataset_path", "PATH")),
    "feed without a data set": (("feed", *SIMULATED), 2, ("dataset.dataset_path", "PATH")),
    "orchestrator without a data set": (("orchestrator", *SIMULATED), 2, ("dataset_path",)),
    "run without a model": (("run", "."), 2, ("vllm.model", "engine: simulated")),
    "document without a model": (
        ("feed", ".", "--dry-run", "--config", "modelless.yaml"),
        2,
        ("modelless.yaml: vllm.model is missing",),
    ),
    "document without a server": (
        ("run", ".", "--config", "serverless.yaml"),
        2,
        ("serverless.yaml: openai.endpoints is empty",),
    ),
    "unknown kind of data set": (
        ("run", ".", *SIMULATED, "--set", "dataset.type=foldr"),
        2,
        ('"foldr"', 'did you mean "folder"?'),
    ),
    "URL of something else": (("worker", "--redis", "http://host"), 2, ("redis", "redis://")),
    "run on no folder": (("run", "nowhere", *SIMULATED), 1, ("nowhere does not exist",)),
    "feed of no folder": (("feed", "nowhere", *REDIS, *SIMULATED), 1, ("nowhere does not exist",)),
    "run on a file": (("run", "file.txt", *SIMULATED), 1, ("file.txt",)),
}


@pytest.fixture(scope="module")
def answers(shared_desk: Desk) -> dict[str, Ended]:
    """What is said to all of these, asked at once since most of the time is Python's start."""
    (shared_desk.folder / "file.txt").write_text("This is no folder.")
    (shared_desk.folder / "modelless.yaml").write_text("vllm: {batch_size: 8}")
    (shared_desk.folder / "serverless.yaml").write_text("{engine: openai, vllm: {model: a}}")
    running = {name: shared_desk.start(*arguments) for name, (arguments, *_) in WRONG.items()}
    return {name: command.wait() for name, command in running.items()}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_told_in_its_own_words(answers: dict[str, Ended], name: str):
    _, code, pieces = WRONG[name]

    assert_refused(answers[name], code, *pieces)


def test_all_mistakes_of_a_document_are_told_one_a_line(desk: Desk):
    (desk.folder / "feed.yaml").write_text(
        "chunk_sise: 5\nlease_seconds: 0\nstorage:\n  rows_per_prt: 3\n"
    )

    done = desk.run("feed", ".", *REDIS, *SIMULATED)

    assert_refused(done, 2)
    first, second, third = done.err.removeprefix("Error: ").splitlines()
    assert 'no field "chunk_sise"; did you mean "chunk_size"?' in first + second + third
    assert 'no field "rows_per_prt"; did you mean "rows_per_part"?' in first + second + third
    assert "lease_seconds is 0" in first + second + third


def test_job_of_another_data_set_is_refused(desk: Desk, redis_url: str):
    """The name stands for one data set, or captions of two would get into one folder."""
    flags = ("--redis", redis_url, "--job", "j", *SIMULATED)
    draw(desk.folder / "theirs", 1)
    draw(desk.folder / "ours", 1)
    assert desk.run("feed", "theirs", *flags).code == 0

    ours = (*flags, *settings(dataset__dataset_path="ours"))
    started = [desk.start(command, *ours) for command in ("run", "feed", "orchestrator")]

    for command in started:
        assert_refused(command.wait(), 2, '"j"', str(desk.folder / "theirs"), "--job")


def test_evicting_redis_is_refused(desk: Desk, own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "maxmemory", "100mb")
    own_server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    flags = ("--redis", own_server.url, "--job", "j")
    simulated = (*SIMULATED, *settings(dataset__dataset_path=desk.folder))

    started = [desk.start("worker", *flags)]
    started += [desk.start(c, *flags, *simulated) for c in ("run", "feed", "sink", "orchestrator")]

    for command in started:
        assert_refused(command.wait(), 2, "maxmemory-policy allkeys-lru", "CONFIG SET")


def test_worker_asks_which_of_two_jobs(desk: Desk, redis_url: str):
    draw(desk.folder / "a", 1)
    draw(desk.folder / "b", 1)
    feeds = [desk.start("feed", name, "--redis", redis_url, *SIMULATED) for name in "ab"]
    assert [feed.wait().code for feed in feeds] == [0, 0]

    assert_refused(desk.run("worker", "--redis", redis_url), 2, "a, b", "--job")


def test_password_of_redis_is_not_shown(desk: Desk):
    done = desk.run("worker", "--redis", "redis://:sesame@localhost:bad", "--job", "j")

    assert_refused(done, 2, "localhost")
    assert "sesame" not in done.err + done.out


def test_verbose_shows_where_an_error_comes_from(desk: Desk):
    done = desk.run("worker", "--verbose")

    assert done.code != 0
    assert "Traceback" in done.err
    assert "No Redis is configured" in done.err


def test_engine_that_cannot_be_ends_the_worker_with_2(desk: Desk, redis_url: str):
    """Told by the worker, which alone knows its engine."""
    stages = "[{name: a, prompts: [x], model: m}, {name: b, prompts: [y], model: n}]"
    draw(desk.folder / "imgs", 1)
    assert desk.run("feed", "imgs", "--redis", redis_url, *settings(vllm__stages=stages)).code == 0

    ended = desk.run("worker", "--redis", redis_url, "--model", "/models/m")

    assert_refused(ended, 2, "vllm.model is one model", "(m, n)", "--stage")
