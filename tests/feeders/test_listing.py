"""What a folder source finds, and in which order."""

import logging
import os
from pathlib import Path

import pytest

from caption_flow.errors import ConfigError, SourceError
from feeders import beneath
from tests.feeders.tree import grow, ids, names, source


def test_shards_are_the_folders_parents_first_and_in_order(tmp_path: Path):
    grow(tmp_path, "b/y/1.jpg", "b/x/1.jpg", "a/1.jpg", "a-/1.jpg", "1.jpg")

    assert list(source(tmp_path).shards()) == [".", "a", "a-", "b", "b/x", "b/y"]


def test_names_are_the_files_of_one_folder_in_order(tmp_path: Path):
    grow(tmp_path, "a/10.jpg", "a/9.jpg", "a/B.jpg", "a/é.jpg", "a/b.jpg", "a/deeper/1.jpg")

    assert names(tmp_path, "a") == ["10.jpg", "9.jpg", "B.jpg", "b.jpg", "é.jpg"]


def test_the_id_of_a_sample_is_its_path_below_the_root(tmp_path: Path):
    grow(tmp_path, "1.jpg", "a/b/2.png")

    assert ids(tmp_path) == ["1.jpg", "a/b/2.png"]


def test_only_the_root_is_read_where_that_is_asked(tmp_path: Path):
    grow(tmp_path, "1.jpg", "a/2.jpg")

    assert ids(tmp_path, recursive=False) == ["1.jpg"]


@pytest.mark.parametrize(
    "name", ["a.JPG", "a.jpeg", "a.jfif", "a.jpe", "a.tif", "a.b.WebP", "a.avif"]
)
def test_an_image_is_known_by_its_extension(tmp_path: Path, name: str):
    grow(tmp_path, name)

    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.txt", "a", "jpg", ".jpg", "a.jpg.part", "Thumbs.db"])
def test_other_files_are_passed_over(tmp_path: Path, name: str):
    grow(tmp_path, name)

    assert names(tmp_path) == []


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path):
    grow(tmp_path, ".a.jpg", ".git/b.jpg", "c/.trash/d.jpg", "c/e.jpg")

    assert ids(tmp_path) == ["c/e.jpg"]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path):
    grow(tmp_path, "album.jpg/1.jpg")

    assert ids(tmp_path) == ["album.jpg/1.jpg"]


@pytest.mark.parametrize("after", ["2.jpg", "2", "10.jpg", "1.zzz"])
def test_names_go_on_strictly_after_one(tmp_path: Path, after: str):
    grow(tmp_path, "1.jpg", "10.jpg", "2.jpg", "3.jpg")

    assert names(tmp_path, after=after) == [name for name in names(tmp_path) if name > after]


def test_a_pause_after_any_name_misses_and_doubles_nothing(tmp_path: Path):
    grow(tmp_path, *(f"{number}.jpg" for number in range(30)))
    whole = names(tmp_path)

    assert all(
        whole[: at + 1] + names(tmp_path, after=name) == whole for at, name in enumerate(whole)
    )


def test_the_walk_lists_a_folder_only_when_it_gets_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    grow(tmp_path, *(f"{letter}/deeper/1.jpg" for letter in "abcdef"))
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda fd: listed.append(fd) or scandir(fd))

    walk = source(tmp_path).shards()
    found = [next(walk) for _ in range(3)]

    assert (found, len(listed)) == ([".", "a", "a/deeper"], 2)


WALKED = ["a/1.jpg", "a/x/1.jpg", "a/y/1.jpg", "a-/1.jpg", "b/1.jpg", "é/1.jpg", "\ue000/1.jpg"]


def test_a_walk_starts_at_any_shard_as_if_it_had_come_there(tmp_path: Path):
    grow(tmp_path, *WALKED)
    (tmp_path / os.fsdecode(b"\x80")).mkdir()  # as text it sorts behind \ue000
    whole = list(source(tmp_path).shards())

    assert [list(source(tmp_path).shards(shard)) for shard in whole] == [
        whole[at:] for at in range(len(whole))
    ]


def test_a_walk_starts_where_a_shard_was_that_is_gone(tmp_path: Path):
    grow(tmp_path, *WALKED)

    assert list(source(tmp_path).shards("a/xx/deeper"))[:2] == ["a/y", "a-"]


def test_a_walk_does_not_list_what_lies_before_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    grow(tmp_path, *(f"{letter}/deeper/1.jpg" for letter in "abcdef"))
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda fd: listed.append(fd) or scandir(fd))

    found = list(source(tmp_path).shards("f"))

    assert (found, len(listed)) == (["f", "f/deeper"], 3)


def test_a_tree_deeper_than_any_path_may_be_long(tmp_path: Path):
    folder = os.open(tmp_path, os.O_RDONLY)
    depth = 40
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=folder)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(os.open("1.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)

    assert len(ids(tmp_path)[0].split("/")) == depth + 1


def test_the_data_set_takes_its_name_from_the_folder(tmp_path: Path):
    assert source(grow(tmp_path / "cats", "1.jpg")).dataset == "cats"


def test_the_data_set_takes_the_name_it_is_given(tmp_path: Path):
    assert source(tmp_path, name="felines").dataset == "felines"


def test_a_root_that_does_not_exist_is_said_so(tmp_path: Path):
    with pytest.raises(SourceError, match=r"nowhere does not exist\. Check the path"):
        source(tmp_path / "nowhere")


def test_a_root_that_is_a_file_is_said_so(tmp_path: Path):
    grow(tmp_path, "1.jpg")

    with pytest.raises(SourceError, match="is not a folder"):
        source(tmp_path / "1.jpg")


def refuse(monkeypatch: pytest.MonkeyPatch, what: str, error: type[OSError], number: int) -> None:
    """Make one component of any path impossible to open: tests may run as root."""
    really = os.open

    def opened(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if str(path).endswith(what):
            raise error(number, os.strerror(number))
        return really(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(beneath.os, "open", opened)


def test_a_root_that_may_not_be_read_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch, tmp_path.name, PermissionError, 13)

    with pytest.raises(SourceError, match="may not be read by this user"):
        source(tmp_path)


def test_a_folder_that_cannot_be_listed_stops_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Passing over it would lose its samples without a trace."""
    grow(tmp_path, "locked/1.jpg")
    refuse(monkeypatch, "locked", PermissionError, 13)

    with pytest.raises(SourceError, match=r"The folder locked .* permission denied"):
        list(source(tmp_path).shards())


def test_a_folder_that_vanished_has_no_names(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert names(tmp_path, "gone") == []

    assert "gone vanished" in caplog.text


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("part-1.parquet", "notes.txt"), True),
        (("part-1.parquet", "1.jpg"), False),
        (("notes.txt", "a/part-1.parquet"), False),
    ],
)
def test_captions_where_images_are_looked_for_are_hinted_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: tuple[str, ...], *, told: bool
):
    grow(tmp_path, *files)

    for shard in (".", "a"):
        names(tmp_path, shard)

    assert ("set dataset.type to captions" in caplog.text) == told


@pytest.mark.parametrize("shard", ["..", "../x", "/etc", "a/../..", ".git", ""])
def test_a_shard_outside_of_the_root_is_not_listed(tmp_path: Path, shard: str):
    with pytest.raises(SourceError):
        names(tmp_path, shard)


def test_an_option_it_does_not_know_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no option "colour"'):
        source(tmp_path, extra={"colour": "red"})
