"""Sources are found by the kind under which a package announces them."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from caption_flow.dataset import source as port
from caption_flow.dataset.source import Source, SourceOptions, open_source, sample_id
from caption_flow.errors import ConfigError
from feeders.folder import FolderSource


def announce(monkeypatch: pytest.MonkeyPatch, **kinds: str) -> None:
    """Stand in for installed packages."""
    found = EntryPoints(EntryPoint(kind, value, port.GROUP) for kind, value in kinds.items())
    monkeypatch.setattr(port, "entry_points", lambda group: found.select(group=group))


def test_the_folder_kind_is_installed(tmp_path: Path):
    assert isinstance(open_source("folder", SourceOptions(path=str(tmp_path))), FolderSource)


def test_the_folder_source_keeps_to_the_port(tmp_path: Path):
    made: Source = FolderSource(SourceOptions(path=str(tmp_path), name="x"))

    assert made.dataset == "x"


def test_a_kind_of_another_package_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    announce(monkeypatch, shelf="feeders.folder:FolderSource")

    assert open_source("shelf", SourceOptions(path=str(tmp_path), name="x")).dataset == "x"


def test_an_unknown_kind_is_answered_with_the_nearest_and_all(monkeypatch: pytest.MonkeyPatch):
    announce(monkeypatch, folder="a:b", urls="a:b")

    with pytest.raises(ConfigError, match=r'"foldr".*did you mean "folder".*kinds: folder, urls'):
        open_source("foldr", SourceOptions(path="."))


def test_an_unknown_kind_like_no_other_is_answered_with_all(monkeypatch: pytest.MonkeyPatch):
    announce(monkeypatch, folder="a:b")

    with pytest.raises(ConfigError, match=r'"xyz" is installed\. Installed kinds: folder\.'):
        open_source("xyz", SourceOptions(path="."))


@pytest.mark.parametrize("value", ["no_such_module:Source", "feeders.folder:NoSuchSource"])
def test_a_kind_that_does_not_load_is_told_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, value: str
):
    announce(monkeypatch, broken=value)

    with pytest.raises(ConfigError, match='"broken" is installed but does not load') as told:
        open_source("broken", SourceOptions(path="."))

    assert told.value.__cause__ is not None


def test_the_id_of_a_sample_of_the_root_is_its_name():
    assert sample_id(".", "1.jpg") == "1.jpg"


def test_the_id_of_a_sample_names_its_shard():
    assert sample_id("a/b", "1.jpg") == "a/b/1.jpg"
