"""Files become a data set on a hub, whole at every moment, and nothing is sent twice."""

import json
import logging
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import http_backoff

from caption_flow.errors import CaptionFlowError, ConfigError, UploadFailed
from caption_flow.export.hub import push as hub_
from caption_flow.export.hub.card import card
from caption_flow.export.hub.push import Progress, Pushed, check, push
from caption_flow.export.hub.refusals import Page, told
from tests.export.hub_server import READER, TOKEN, WritableHub, hub
from tests.export.summaries import FACTS, SUMMARY, facts
from tests.view.parts import numbered, write_part

__all__ = ["hub"]

REPO = "ann/caps"
CARD = card(SUMMARY, FACTS)
SIZE = 200_000

# The library's own client asks for it, when it sends a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three data files; what is in them is no matter of the hub."""
    return {name(at, 3): written(tmp_path / f"{at}", at) for at in range(3)}


def name(at: int, of: int) -> str:
    return f"data/train-{at:05}-of-{of:05}.parquet"


def written(path: Path, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(SIZE))
    return path


def data(hub: WritableHub) -> set[str]:
    return {name for name in hub.tree(REPO) if name.startswith("data/")}


def test_a_new_data_set_has_its_files_and_card(hub: WritableHub, files: dict[str, Path]) -> None:
    made = push(REPO, files, CARD)
    tree = hub.tree(REPO)

    assert made == Pushed(
        f"{hub.endpoint}/datasets/{REPO}",
        hub.commits[-1],
        uploaded=4,
        uploaded_bytes=3 * SIZE + len(CARD.encode()),
        unchanged=0,
        deleted=0,
        private=False,
        created=True,
    )
    assert {path: tree[path] for path in files} == {
        path: file.read_bytes() for path, file in files.items()
    }
    assert tree["README.md"] == CARD.encode()
    assert len(hub.commits) == 1


def test_the_same_again_sends_and_commits_nothing(hub: WritableHub, files: dict[str, Path]) -> None:
    first = push(REPO, files, CARD)
    again = push(REPO, files, CARD)

    assert (again.uploaded, again.unchanged, again.created) == (0, 4, False)
    assert again.commit == first.commit
    assert (len(hub.uploads), len(hub.commits)) == (3, 1)


def test_only_what_changed_is_sent(hub: WritableHub, files: dict[str, Path]) -> None:
    push(REPO, files, CARD)
    written(files[name(1, 3)], seed=99)
    again = push(REPO, files, CARD)

    assert (again.uploaded, again.unchanged) == (1, 3)
    assert len(hub.uploads) == 4
    assert hub.tree(REPO)[name(1, 3)] == files[name(1, 3)].read_bytes()


def test_files_of_a_former_export_go_with_the_same_commit(
    hub: WritableHub, files: dict[str, Path]
) -> None:
    push(REPO, files, CARD)
    hub.edit(REPO, {"data/train-mine.parquet": b"by hand", "notes.txt": b"mine"})
    fewer = {name(at, 2): files[name(at, 3)] for at in range(2)}
    made = push(REPO, fewer, CARD)

    assert made.deleted == 3
    assert data(hub) == {*fewer, "data/train-mine.parquet"}
    assert "notes.txt" in hub.tree(REPO)
    assert (len(hub.commits), len(hub.uploads)) == (2, 3)  # what is there is only named anew


@pytest.mark.parametrize("act", [push, lambda repo, _, __, **more: check(repo, **more)])
def test_files_of_others_are_not_replaced_unasked(
    hub: WritableHub, files: dict[str, Path], act: Any
) -> None:
    """As `datasets` calls them, too."""
    push(REPO, {}, CARD)
    theirs: dict[str, bytes | None] = {name(0, 2): b"theirs", "README.md": b"# Pets\n"}
    hub.edit(REPO, theirs)
    with pytest.raises(ConfigError, match=f"1 files already .* {name(0, 2)}.* --overwrite"):
        act(REPO, files, CARD)
    assert not hub.uploads

    act(REPO, files, CARD, overwrite=True)
    push(REPO, files, CARD, overwrite=True)
    assert data(hub) == {*files}
    push(REPO, files, CARD)  # they are ours now


def test_what_several_commits_began_is_known_for_ours(
    hub: WritableHub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_, "_MOST_CHANGES", 2)
    monkeypatch.setattr(hub_, "_TRIES", 1)
    hub.lose_commit = True
    with pytest.raises(UploadFailed):
        push(REPO, files, CARD)
    push(REPO, files, CARD)

    assert data(hub) == {*files}


def test_an_upload_cut_in_the_middle_sends_only_the_rest(
    hub: WritableHub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_, "_TRIES", 1)
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", once)
    monkeypatch.setattr("caption_flow.export.hub.sending._AT_ONCE", 1)
    hub.cut_after = SIZE + SIZE // 2  # of all: in the second file
    with pytest.raises(UploadFailed, match="not sent once more"):
        push(REPO, files, CARD)
    assert (len(hub.uploads), hub.commits) == (1, [])

    push(REPO, files, CARD)

    assert data(hub) == {*files}
    assert len({digest for digest, _ in hub.uploads}) == len(hub.uploads) == 3
    assert hub.bytes_in < 4 * SIZE


def once(method: str, url: str, **options: Any) -> Any:
    """Ask without patience."""
    return http_backoff(method, url, max_retries=0, **options)


def test_a_cut_is_mended_without_a_word(
    hub: WritableHub, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hub.cut_after = SIZE // 2
    push(REPO, files, CARD)

    assert len(hub.uploads) == 3
    assert data(hub) == {*files}
    assert "/lfs/" not in caplog.text  # an address that is signed, elsewhere


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    hub: WritableHub, files: dict[str, Path]
) -> None:
    hub.lose_commit = True
    made = push(REPO, files, CARD)

    assert (made.uploaded, made.created) == (4, True)
    assert hub.commits == [made.commit]


def test_files_are_sent_in_parts_where_the_hub_asks_for_it(
    hub: WritableHub, files: dict[str, Path]
) -> None:
    hub.part_bytes = SIZE // 3
    push(REPO, files, CARD)

    assert all(hub.tree(REPO)[path] == file.read_bytes() for path, file in files.items())


def test_files_go_whole_to_a_hub_that_speaks_xet(
    hub: WritableHub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library has the paths then; here it must not use Xet itself."""
    monkeypatch.setattr("caption_flow.export.hub.repo.Repo.speaks_xet", lambda _: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    told: list[Progress] = []
    push(REPO, files, CARD, see=told.append)

    assert data(hub) == {*files}
    assert told == [Progress(3, 3, 3 * SIZE, 3 * SIZE)]


def test_very_many_files_come_before_any_goes(
    hub: WritableHub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(REPO, {"data/train-00000-of-00001.parquet": files[name(0, 3)]}, CARD)
    monkeypatch.setattr(hub_, "_MOST_CHANGES", 2)
    push(REPO, files, CARD)
    [former, middle] = [set(hub.repo(REPO.split("/"))[0].trees[one]) for one in hub.commits[:2]]

    assert former < middle
    assert data(hub) == {*files}


def test_edits_by_hand_stay(hub: WritableHub, files: dict[str, Path]) -> None:
    push(REPO, files, CARD)
    hub.edit(REPO, {"README.md": f"{CARD}\nDear reader.\n".encode()})
    push(REPO, files, card(SUMMARY, facts(version="9.9.9")))
    text = hub.tree(REPO)["README.md"].decode()

    assert text.endswith("\nDear reader.\n")
    assert "9&#46;9&#46;9" in text


@pytest.mark.usefixtures("hub")
def test_progress_goes_up_to_all_of_it(files: dict[str, Path]) -> None:
    told: list[Progress] = []
    push(REPO, files, CARD, see=told.append)

    assert told[-1] == Progress(3, 3, 3 * SIZE, 3 * SIZE)
    assert [one.bytes for one in told] == sorted(one.bytes for one in told)


def test_private_means_private(hub: WritableHub, files: dict[str, Path]) -> None:
    made = push(REPO, files, CARD, private=True)
    again = push(REPO, files, CARD)

    assert hub.is_private(REPO)
    assert made.private
    assert again.private  # it stays what it is


@pytest.mark.parametrize("act", [push, lambda repo, _, __, **more: check(repo, **more)])
def test_what_should_be_private_is_not_shown_to_all(
    hub: WritableHub, files: dict[str, Path], act: Any
) -> None:
    push(REPO, {}, CARD)
    with pytest.raises(ConfigError, match="is public"):
        act(REPO, files, CARD, private=True)

    assert not hub.uploads


def test_a_fit_token_passes_the_check(hub: WritableHub) -> None:
    check(f"hf://datasets/{REPO}")

    assert not hub.repo(REPO.split("/"))


@pytest.mark.parametrize(
    ("repo", "token", "said"),
    [
        (REPO, "hf_wrong", "does not know the token"),
        (REPO, READER, "may not write"),
        ("bob/caps", TOKEN, "You don't have the rights to create bob/caps"),
        ("caps", TOKEN, "Write USER/NAME"),
        ("ann/a--b", TOKEN, "Write USER/NAME"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: WritableHub, files: dict[str, Path], repo: str, token: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as failed:
        push(repo, files, CARD, token=token)

    assert token not in str(failed.value)
    assert not hub.uploads


@pytest.mark.usefixtures("hub")
def test_a_token_that_only_reads_does_not_pass_the_check() -> None:
    with pytest.raises(ConfigError, match="may only read"):
        check(REPO, token=READER)


def test_without_a_token_nothing_is_asked(
    hub: WritableHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(ConfigError, match="only with a token"):
        check(REPO)

    assert not hub.seen


@pytest.mark.parametrize("token", ["hf_SECRET\x0bx", "hf_SECRET\u2026"])
def test_a_broken_token_is_refused_and_not_told(hub: WritableHub, token: str) -> None:
    with pytest.raises(ConfigError, match="no token has") as failed:
        check(REPO, token=token)

    assert "SECRET" not in str(failed.value)
    assert not hub.seen


def test_no_token_is_told_in_what_went_wrong() -> None:
    wrong = OSError("Illegal header value b'Bearer abc', nor hf_SECRET")

    assert not {"abc", "SECRET"}.intersection(words(told(wrong, Page("http://hub", REPO))))


def words(failure: Exception) -> list[str]:
    return re.findall(r"[A-Za-z]+", str(failure))


def test_offline_means_offline(hub: WritableHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE"):
        check(REPO)

    assert not hub.seen


def test_a_hub_that_is_away_is_said_to_be(hub: WritableHub, files: dict[str, Path]) -> None:
    hub.close()
    with pytest.raises(CaptionFlowError, match="cannot be reached") as failed:
        push(REPO, files, CARD)

    assert failed.value.exit_code == 1


def test_strangers_load_what_was_uploaded(hub: WritableHub, tmp_path: Path) -> None:
    parts = {name(at, 2): write_part(tmp_path, f"{at}", numbered(at * 40, 40)) for at in (0, 1)}
    push(REPO, parts, CARD)
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
    told = subprocess.run(
        [sys.executable, "-m", "tests.export.load_back", REPO],
        env=os.environ | home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.splitlines()[-1])

    assert found["rows"] == 80
    assert found["ids"] == [row["id"] for row in numbered(0, 3)]
    assert found["captions"] == numbered(0, 1)[0]["captions"]
    assert "stages" in found["features"]
