"""`caption-flow reload_config`, as an operator has it: shown, asked, and published or not."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from caption_flow.cli.reload_report import listed
from caption_flow.config.changes import changes
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.vllm import Stage
from tests import made
from tests.cli.test_mistakes import assert_refused
from tests.e2e.desk import Desk, Ended, environment, settings
from tests.e2e.jobs import Job
from tests.e2e.pictures import draw

DOCUMENT = "engine: simulated\njob: j\nvllm:\n  inference_prompts: [Describe.]\n"
CHANGED = DOCUMENT.replace("Describe.", "Name it.")
BOLD = settings(vllm__inference_prompts="Else?")


class Office:
    """An operator's desk, with a job that runs and its document."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk = desk
        self.url = url
        self.job = Job(url, "j")
        self.write(DOCUMENT)
        draw(desk.folder / "imgs", 2)
        fed = self.feed()
        assert fed.code == 0, fed.words

    def write(self, document: str) -> None:
        (self.desk.folder / "orchestrator.yaml").write_text(document)

    def feed(self) -> Ended:
        return self.desk.run("feed", "imgs", "--redis", self.url)

    def reload(self, *flags: str, name: str = "reload_config") -> Ended:
        return self.desk.run(name, "--redis", self.url, *flags)

    def published(self) -> tuple[int, list[str]]:
        """Version and prompts."""
        key = "cf:{j}:settings"
        document = json.loads(self.job.cli("HGET", key, "document"))
        return int(self.job.cli("HGET", key, "version")), document["stages"][0]["prompts"]


@pytest.fixture
def office(desk: Desk, redis_url: str) -> Office:
    return Office(desk, redis_url)


@pytest.mark.parametrize("name", ["reload_config", "reload-config"])
def test_it_shows_what_changes_and_publishes(office: Office, name: str):
    office.write(CHANGED)

    done = office.reload("--yes", name=name)

    assert done.code == 0, done.words
    first, *lines = done.out.splitlines()
    assert first.startswith('Job "j", settings of version 1, from feed on ')
    assert lines == [
        "Workers take for their next sample:",
        '  stages[caption].prompts: ["Describe."] → ["Name it."]',
        "Published as version 2.",
    ]
    assert office.published() == (2, ["Name it."])


def test_each_change_stands_below_what_workers_do_for_it(office: Office):
    office.write(CHANGED + "  batch_size: 7\nlease_seconds: 9\nstorage: {rows_per_part: 5}\n")

    _, *lines = office.reload("--dry-run").out.splitlines()

    assert lines == [
        "Workers take for their next sample:",
        '  stages[caption].prompts: ["Describe."] → ["Name it."]',
        "Workers finish what is in their engine, and load it again, for:",
        "  batch_size: 64 → 7",
        "Workers finish what they have begun, and go on with the engine they have, for:",
        "  lease_seconds: 20.0 → 9.0",
        "Not for workers: storage. Feeders and sinks read their own documents, once, when they "
        "start.",
        "Nothing was published, as --dry-run asks.",
    ]
    assert office.published() == (1, ["Describe."])


def test_settings_that_the_job_has_are_not_published_again(office: Office):
    done = office.reload()

    assert (done.code, done.out.splitlines()[-1]) == (0, "Nothing changes; nothing was published.")
    assert office.published() == (1, ["Describe."])


def test_flags_change_settings_too(office: Office):
    assert office.reload("--yes", *BOLD).code == 0
    assert office.published() == (2, ["Else?"])


def test_prompt_with_a_column_that_no_waiting_sample_has_is_refused(office: Office):
    office.write(DOCUMENT.replace("[Describe.]", '["About {titel}."]'))
    assert_refused(office.reload("--yes"), 2, "{titel}", "no such column", "{titel|a text}")
    assert office.published() == (1, ["Describe."])

    office.write(DOCUMENT.replace("[Describe.]", '["About {titel|it}."]'))
    assert office.reload("--yes").code == 0


def test_without_a_terminal_it_wants_a_flag(office: Office):
    assert_refused(office.reload(*BOLD), 2, "--yes", "Nothing was published")
    assert office.published() == (1, ["Describe."])


class Terminal:
    """`reload_config` on a terminal, where it asks."""

    def __init__(self, office: Office, *flags: str) -> None:
        self._ours, theirs = pty.openpty()
        command = ["reload_config", "--redis", office.url, *flags]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "caption_flow", *command],
            cwd=office.desk.folder,
            env=environment(office.desk.folder),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.said = ""

    def wait_for(self, words: str) -> None:
        while words not in self.said:
            self.said += os.read(self._ours, 4096).decode()

    def answer(self, word: str) -> int:
        """Answer the question; answers how it ended."""
        os.write(self._ours, f"{word}\n".encode())
        try:
            while piece := os.read(self._ours, 4096):
                self.said += piece.decode()
        except OSError:  # its end is closed
            pass
        os.close(self._ours)
        return self._process.wait(60)


@pytest.mark.parametrize(("word", "code", "version"), [("y", 0, 2), ("n", 1, 1)])
def test_it_asks_before_it_publishes(office: Office, word: str, code: int, version: int):
    terminal = Terminal(office, *BOLD)
    terminal.wait_for("Publish these changes?")

    assert terminal.answer(word) == code
    assert office.published()[0] == version


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(office: Office):
    terminal = Terminal(office, *BOLD)
    terminal.wait_for("Publish these changes?")
    office.write(CHANGED)
    assert office.reload("--yes").code == 0

    assert terminal.answer("y") == 1
    assert "Version 2 came meanwhile, from reload_config on " in terminal.said
    assert "Nothing was published; look again." in terminal.said
    assert 'stages[caption].prompts: ["Describe."] → ["Name it."]' in terminal.said
    assert office.published() == (2, ["Name it."])


BAD = {
    "vllm:\n  inference_promts: [x]\n": 'did you mean "inference_prompts"?',
    "max_attempts: 0\nvllm:\n  inference_prompts: [New.]\n": "max_attempts is 0",
    "engine: vllm\nvllm:\n  inference_prompts: [New.]\n": "vllm.model is missing",
    "vllm:\n  stages: [{name: a, prompts: [x], requires: [b]}]\n": 'requires "b"',
}


def test_bad_document_is_refused_whole(office: Office):
    for document, word in BAD.items():
        kind = "" if "engine" in document else "engine: simulated\n"
        office.write(f"job: j\n{kind}{document}")

        assert_refused(office.reload("--yes"), 2, word)
    assert office.published() == (1, ["Describe."])


def test_document_of_another_data_set_is_refused(office: Office):
    flags = settings(dataset__dataset_path="others")

    assert_refused(office.reload("--yes", *flags, *BOLD), 2, '"j"', "imgs", "cannot change")
    assert office.published() == (1, ["Describe."])


def test_job_or_redis_that_is_not_there_is_named(office: Office):
    assert_refused(office.reload("--yes", "--job", "k"), 1, 'no job "k"', "--job")
    away = office.desk.run("reload_config", "--redis", "redis://localhost:1", "--yes")
    assert_refused(away, 1, "localhost:1")


def test_feeder_that_starts_again_keeps_and_says_what_differs(office: Office):
    assert office.reload("--yes", *BOLD).code == 0

    fed = office.feed()

    assert fed.code == 0
    assert "The job keeps its settings of version 2, from reload_config on " in fed.err
    assert "differ in stages[caption].prompts" in fed.err
    assert office.published() == (2, ["Else?"])


def test_edited_document_of_a_feeder_is_published(office: Office):
    assert office.reload("--yes", *BOLD).code == 0
    office.write(CHANGED)

    fed = office.feed()

    assert "keeps its settings" not in fed.err
    assert office.published() == (3, ["Name it."])


def lines(before: Endpoint, after: Endpoint, **arguments: object) -> str:
    stage = Stage("a", "m", ("p",))
    old = made.settings(openai=OpenaiConfig(endpoints=(before,)), stages=(stage,))
    more = Stage("b", "m", ("p" * 500,), engine_args=dict(arguments))
    new = made.settings(openai=OpenaiConfig(endpoints=(after,)), stages=(stage, more))
    return "\n".join(listed(changes(old, new)))


def test_no_secret_is_shown():
    before = Endpoint(base_url="https://b/v1", headers={"X": "sesame"})
    after = Endpoint(base_url="https://a/v1", headers={"X": "sesame2"}, extra_body={"a": "sesame"})

    shown = lines(before, after, hf_token="sesame", nested={"api_key": "sesame"})
    both = "\n".join(
        listed(changes(made.settings(), made.settings(openai=OpenaiConfig(endpoints=(before,)))))
    )

    assert "openai.endpoints[0].base_url" in shown
    assert "openai.endpoints[0].headers.X: …(hidden) → …(hidden)" in shown
    assert "sesame" not in shown + both


def test_long_values_are_cut():
    assert (
        max(
            map(
                len,
                lines(Endpoint(base_url="http://a"), Endpoint(base_url="http://b")).splitlines(),
            )
        )
        < 120
    )


def test_name_of_a_variable_is_no_secret():
    before = Endpoint(base_url="http://a", api_key_env="OLD_API_KEY")
    after = Endpoint(base_url="http://a", api_key_env="NEW_API_KEY")

    assert '"OLD_API_KEY" → "NEW_API_KEY"' in lines(before, after)


def test_documents_of_the_job_are_found_as_by_other_commands(office: Office, tmp_path: Path):
    elsewhere = tmp_path / "mine.yaml"
    elsewhere.write_text(CHANGED)

    assert office.reload("--yes", "--config", str(elsewhere)).code == 0
    assert office.published() == (2, ["Name it."])
