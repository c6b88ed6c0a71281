"""Where a document is looked for, and in which order."""

from pathlib import Path

import pytest

from caption_flow.config import find
from caption_flow.errors import ConfigError

ORDER = [
    "here/feed.yaml",
    "home/.caption-flow/feed.yaml",
    "home/.config/caption-flow/feed.yaml",
    "etc/feed.yaml",
    "xdg/caption-flow/feed.yaml",
    "here/examples/feed.yaml",
    "here/orchestrator.yaml",
    "home/.caption-flow/orchestrator.yaml",
    "home/.config/caption-flow/orchestrator.yaml",
    "etc/orchestrator.yaml",
    "xdg/caption-flow/orchestrator.yaml",
    "here/examples/orchestrator.yaml",
]


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("first", range(len(ORDER)), ids=lambda n: ORDER[n])
def test_each_place_counts_before_all_later_ones(desk: Path, first: int):
    for name in ORDER[first:]:
        touch(desk / name)

    found = find("feed")

    assert found is not None
    assert found.absolute() == desk / ORDER[first]


def test_nothing_anywhere_is_no_document():
    assert find("feed") is None


@pytest.mark.parametrize("component", ["worker", "monitor"])
def test_worker_and_monitor_do_not_read_the_jobs_document(component: str):
    Path("orchestrator.yaml").touch()

    assert find(component) is None


def test_folder_of_the_user_is_where_the_variable_says(desk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(desk / "mine"))
    touch(desk / "mine/caption-flow/feed.yaml")
    touch(desk / "home/.config/caption-flow/feed.yaml")

    assert find("feed") == desk / "mine/caption-flow/feed.yaml"


def test_relative_folder_in_the_variable_does_not_count(
    desk: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", "mine")
    touch(Path("mine/caption-flow/feed.yaml"))
    touch(desk / "home/.config/caption-flow/feed.yaml")

    assert find("feed") == desk / "home/.config/caption-flow/feed.yaml"


def test_system_folders_are_gone_through_in_their_order(
    desk: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{desk}/one:{desk}/two")
    touch(desk / "two/caption-flow/feed.yaml")
    touch(desk / "one/caption-flow/feed.yaml")

    assert find("feed") == desk / "one/caption-flow/feed.yaml"


def test_without_a_home_the_other_places_count(desk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "")
    touch(desk / "etc/feed.yaml")

    assert find("feed") == desk / "etc/feed.yaml"


def test_folder_of_that_name_is_no_document():
    Path("feed.yaml").mkdir()

    assert find("feed") is None


def test_named_document_counts_before_all_places(desk: Path):
    touch(desk / ORDER[0])
    touch(Path("other.yaml"))

    assert find("feed", Path("other.yaml")) == Path("other.yaml")


def test_named_document_may_be_in_the_home_folder(desk: Path):
    touch(desk / "home/other.yaml")

    assert find("feed", Path("~/other.yaml")) == desk / "home/other.yaml"


def test_named_document_that_is_missing_is_named():
    Path("feed.yaml").touch()

    with pytest.raises(ConfigError, match=r"^lost\.yaml is not there; give --config"):
        find("feed", Path("lost.yaml"))


def test_named_folder_is_told_from_a_document(desk: Path):
    with pytest.raises(ConfigError, match="is a folder, not a document"):
        find("feed", desk)
