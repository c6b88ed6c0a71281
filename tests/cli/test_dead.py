"""`caption-flow dead`: what was given up is found, told, written, retried or dropped."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import PATIENCE, Desk, Ended, environment, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import draw
from tests.redis_server import RedisServer

GOOD = 3
STILL = 5  # looks in a row at a command that waits
DECODING = settings(engine="simulated", simulated__decode="true", images__max_side="null")
EMPTY, PAGE, HALF = "a/empty.jpg", "page.png", "half.jpg"
BAD = {EMPTY, PAGE, HALF}


def spoil(folder: Path) -> Path:
    """Good images, and one of each: empty, no image, and cut off where only a worker sees it."""
    draw(folder, GOOD + 1)
    cut = folder / f"{GOOD:05d}.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    cut.rename(folder / HALF)
    (folder / "a").mkdir()
    (folder / EMPTY).touch()
    (folder / PAGE).write_text("<html><body>Sorry.</body></html>")
    return folder


class Office:
    """A desk with a job at which the dead letters of one data set lie."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk = desk
        self.url = url
        self.job = Job(url, "photos")
        self._redis = ("--redis", url)
        images = spoil(desk.folder / "photos")
        started = [
            desk.start("feed", images, *self._redis, *DECODING),
            desk.start("worker", *self._redis, "--exit-when-done"),
        ]
        assert [command.wait().code for command in started] == [0, 0]

    def dead(self, *words: object) -> Ended:
        return self.desk.run("dead", words[0], *self._redis, *words[1:])

    def listed(self, *words: object) -> set[str]:
        return {letter["sample"]["id"] for letter in self.letters(*words)}

    def letters(self, *words: object) -> list[dict[str, Any]]:
        done = self.dead("list", "--json", *words)
        assert done.code == 0, done.words
        return [json.loads(line) for line in done.out.splitlines()]

    def on_terminal(self, answer: str, *words: str) -> str:
        """Run a command on a terminal where somebody answers."""
        with self.asking(*words) as asked:
            asked.answer(answer)
            return asked.rest()

    @contextmanager
    def asking(self, *words: str) -> Iterator["Asking"]:
        """Run a command on a terminal until it asks."""
        ours, theirs = os.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "caption_flow", "dead", words[0], *self._redis, *words[1:]],
            cwd=self.desk.folder,
            env=environment(self.desk.folder),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as command:
            try:
                yield Asking(command, ours)
            finally:
                command.kill()
                os.close(ours)
                os.close(theirs)


class Asking:
    """A command that waits for somebody at its terminal."""

    def __init__(self, command: subprocess.Popen[bytes], terminal: int) -> None:
        assert command.stdout is not None
        self._command = command
        self._terminal = terminal
        self.said = b""
        while b"[y/N]" not in self.said:
            piece = os.read(command.stdout.fileno(), 1000)
            assert piece, self.said
            self.said += piece

    def answer(self, answer: str) -> None:
        os.write(self._terminal, answer.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, as a person does who has seen the question for a while.

        One that comes between the question and the read is seen only when that has returned.
        """
        looks = [0]

        def is_reading() -> bool:
            state = Path(f"/proc/{self._command.pid}/stat").read_text().rpartition(") ")[2][0]
            looks[0] = looks[0] + 1 if state == "S" else 0
            return looks[0] >= STILL

        wait_until(is_reading, "a command that reads")
        self._command.send_signal(signal.SIGINT)

    def rest(self) -> str:
        """All it said until it ended."""
        said, _ = self._command.communicate(timeout=PATIENCE)
        return (self.said + said).decode()


@pytest.fixture(scope="module")
def office(shared_desk: Desk, redis_server: RedisServer) -> Office:
    """For tests that only look."""
    redis_server.cli("FLUSHALL")
    return Office(shared_desk, redis_server.url)


@pytest.fixture
def own_office(desk: Desk, own_server: RedisServer) -> Office:
    """For tests that change something."""
    return Office(desk, own_server.url)


# list


def test_list_shows_each_letter_and_the_totals(office: Office):
    done = office.dead("list")

    *table, last = done.out.splitlines()
    assert done.code == 0, done.words
    assert last == "3 dead letters: empty 1, not_an_image 1, truncated 1."
    for id_, words in {
        EMPTY: ("empty", "(feeder)", "the file has no bytes"),
        PAGE: ("not_an_image", "(feeder)", "web page"),
        HALF: ("truncated", "caption"),
    }.items():
        [line] = [line for line in table if id_ in line]
        assert [word for word in words if word not in line] == []
        assert re.match(r" ?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line)


def test_list_shows_the_newest_or_the_oldest(office: Office):
    letters = office.letters()

    assert office.letters("--limit", 2) == letters[1:]
    assert office.letters("--limit", 2, "--oldest") == letters[:2]
    assert "3 dead letters" in (last := office.dead("list", "--limit", 1).out)
    assert last.endswith("1 are shown.\n")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), BAD),
        (("--reason", "empty"), {EMPTY}),
        (("--reason", "empty", "--reason", "truncated"), {EMPTY, HALF}),
        (("--stage", "caption"), {HALF}),
        (("--stage", ""), {EMPTY, PAGE}),
        (("--since", "1h"), BAD),
        (("--until", "1h"), set()),
        (("--since", "2020-01-31"), BAD),
        (("--since", "2020-01-31T14:30", "--until", "2020-02-01T00:00:00Z"), set()),
        (("--reason", "empty", "--stage", "caption"), set()),
    ],
)
def test_list_of_those_that_fit(office: Office, words: tuple[str, ...], found: set[str]):
    assert office.listed(*words) == found


def test_list_of_none_says_so(office: Office):
    done = office.dead("list", "--reason", "boredom")

    assert (done.code, done.out) == (0, "No dead letter fits.\n")


# show


def test_show_tells_everything_of_a_letter(office: Office):
    [entry] = [letter["entry"] for letter in office.letters("--stage", "caption")]
    by_sample, by_entry = office.dead("show", HALF), office.dead("show", entry)

    assert by_sample.out == by_entry.out
    assert by_sample.out.startswith(f"{HALF}\n  reason    truncated\n")
    for words in ("stage caption, attempt 1", "photos/half.jpg", "48 x 32", "sha256 ", entry):
        assert words in by_sample.out


def test_show_names_what_it_did_not_find(office: Office):
    done = office.dead("show", HALF, "nowhere.jpg")

    assert done.code == 1
    assert HALF in done.out
    assert done.err == "Error: No dead letter fits nowhere.jpg.\n"


# export


def test_export_as_json_lines(office: Office):
    done = office.dead("export", "dead.jsonl")

    written = (office.desk.folder / "dead.jsonl").read_text().splitlines()
    assert done.out == "Wrote 3 dead letters to dead.jsonl.\n"
    assert [json.loads(line) for line in written] == office.letters()


def test_export_as_csv(office: Office):
    assert office.dead("export", "dead.csv", "--reason", "truncated").code == 0

    with (office.desk.folder / "dead.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["id"], row["reason"], row["stage"]) == (HALF, "truncated", "caption")
    assert row["given_up_at"].startswith("20")


def test_export_to_standard_output(office: Office):
    done = office.dead("export", "-")

    assert {json.loads(line)["sample"]["id"] for line in done.out.splitlines()} == BAD
    assert done.err == "Wrote 3 dead letters to -.\n"


@pytest.mark.parametrize(
    "file", ["nowhere/dead.csv", f"photos/{PAGE}/dead.csv", f"{'l' * 255}.csv"]
)
def test_export_that_fails_says_why_and_leaves_no_half_file(office: Office, file: str):
    done = office.dead("export", file)

    assert done.code == 1
    assert done.err.startswith(f"Error: {file} cannot be written: ")
    assert "Traceback" not in done.err
    assert not list(office.desk.folder.rglob("*.partial"))


def test_export_to_a_name_as_long_as_a_name_may_be(office: Office):
    file = f"{'l' * 251}.csv"

    assert office.dead("export", file).code == 0
    (office.desk.folder / file).unlink()


@pytest.mark.parametrize(
    "words", [("dead", "export", "-"), ("dead", "list"), ("scan_chunks", "--json")], ids=" ".join
)
def test_standard_output_that_is_full_is_told(office: Office, words: tuple[str, ...]):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "caption_flow", *words, "--redis", office.url],
            cwd=office.desk.folder,
            env=environment(office.desk.folder),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == ("Error: Standard output cannot be written: No space left on device.\n")


# retry


def test_retry_puts_samples_back_and_says_what_is_next(own_office: Office):
    done = own_office.dead("retry", HALF, PAGE, "--set", "temperature=0.8", "--set", "top_k=20")

    assert done.code == 0, done.words
    assert done.out.startswith("Retried 2 samples in 1 chunks.")
    assert "feed" in done.out
    assert own_office.listed() == {EMPTY}
    chunk = own_office.job.cli("XRANGE", own_office.job.key("chunks"), "-", "+")
    assert '"sampling":{"temperature":0.8,"top_k":20}' in chunk


def test_retry_of_what_is_not_there_fails_and_retries_the_rest(own_office: Office):
    done = own_office.dead("retry", HALF, "nowhere.jpg")

    assert (done.code, done.err) == (1, "Error: No dead letter fits nowhere.jpg.\n")
    assert own_office.listed() == {EMPTY, PAGE}


def test_retry_of_none_says_so(office: Office):
    done = office.dead("retry", "--reason", "boredom")

    assert (done.code, done.out) == (0, "No dead letter fits; nothing is retried.\n")


# drop


def test_drop_asks_on_a_terminal(own_office: Office):
    said = own_office.on_terminal("n\n", "drop", "--all")
    assert "Drop 3 dead letters for good?" in said
    assert own_office.listed() == BAD

    said = own_office.on_terminal("y\n", "drop", "--reason", "empty")
    assert said.endswith("Dropped 1 dead letters.\n")
    assert own_office.listed() == {PAGE, HALF}


def test_drop_that_is_interrupted_drops_nothing(own_office: Office):
    with own_office.asking("drop", "--all") as asked:
        asked.interrupt()
        said = asked.rest()

    assert said.endswith("Error: Stopped.\n")
    assert own_office.listed() == BAD


def test_drop_takes_only_those_it_has_counted(own_office: Office):
    """What is given up while somebody thinks it over was not agreed to."""
    job = own_office.job
    _, *letter = job.cli("XRANGE", job.key("dead"), "-", "+", "COUNT", 1).splitlines()
    with own_office.asking("drop", "--all") as asked:
        job.cli("XADD", job.key("dead"), "*", *letter)
        asked.answer("y\n")
        said = asked.rest()

    assert "Drop 3 dead letters for good?" in said
    assert said.endswith("Dropped 3 dead letters.\n")
    assert len(own_office.letters()) == 1


def test_drop_forgets_samples_and_the_books_balance(own_office: Office):
    done = own_office.dead("drop", "--all", "--yes")

    counts = own_office.job.counts()
    assert done.out == "Dropped 3 dead letters.\n"
    assert (counts["planned"], counts["offered"], counts["dead"]) == (GOOD, GOOD, 0)
    assert counts["completed"] == GOOD


# Mistakes

WRONG: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "no command": (("dead", "lsit"), 2, ("lsit",)),
    "time that is none": (("dead", "list", "--since", "noon"), 2, ('"noon"', "2h", "2026-01-31")),
    "limit beyond any": (("dead", "list", "--limit", "9" * 20), 2, ("--limit", "1000000")),
    "retry of nothing named": (("dead", "retry"), 2, ("--all", "--reason")),
    "retry of all and of some": (("dead", "retry", "--all", "--reason", "x"), 2, ("--all",)),
    "drop of nothing named": (("dead", "drop", "--yes"), 2, ("--all", "--reason")),
    "drop without anybody to ask": (("dead", "drop", "--all"), 2, ("--yes", "terminal")),
    "show of nothing": (("dead", "show"), 2, ("ID",)),
    "sampling of the wrong kind": (
        ("dead", "retry", "--all", "--set", "temperature=hot"),
        2,
        ('--set temperature is "hot"', "a number"),
    ),
    "sampling misspelt": (
        ("dead", "retry", "--all", "--set", "temprature=1"),
        2,
        ('did you mean "temperature"?',),
    ),
    "export of another kind": (("dead", "export", "x.parquet"), 2, (".jsonl", ".csv")),
    "no Redis": (("dead", "list"), 2, ("--redis URL",)),
    "Redis that is not there": (
        ("dead", "list", "--redis", "redis://localhost:1"),
        1,
        ("No answer from localhost:1",),
    ),
}


@pytest.fixture(scope="module")
def answers(shared_desk: Desk) -> dict[str, Ended]:
    running = {name: shared_desk.start(*arguments) for name, (arguments, *_) in WRONG.items()}
    return {name: command.wait() for name, command in running.items()}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_told_in_its_own_words(answers: dict[str, Ended], name: str):
    _, code, pieces = WRONG[name]

    done = answers[name]
    assert done.code == code, done.words
    assert [piece for piece in pieces if piece not in done.err] == [], done.words
    assert "Traceback" not in done.err


def test_job_that_is_not_there_is_not_waited_for(office: Office):
    named = office.dead("list", "--job", "nope")

    assert named.code == 1
    assert 'has no job "nope"' in named.err


def test_redis_without_a_job_is_not_waited_for(desk: Desk, own_server: RedisServer):
    done = desk.run("dead", "list", "--redis", own_server.url)

    assert done.code == 1
    assert "has no job yet" in done.err


def test_redis_of_a_run_that_ended_is_asked(desk: Desk):
    spoil(desk.folder / "photos")
    assert desk.run("run", "photos", *DECODING).code == 0

    done = desk.run("dead", "list")

    assert done.code == 0, done.words
    assert "3 dead letters: " in done.out
