"""Files of this host: what a path stands for, in order, and nothing beyond it."""

import os
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import CaptionFlowError, ConfigError, SourceError
from feeders.files.find import Files
from feeders.files.port import AsIO, FileGone, FileUnreadable
from tests.feeders.tree import grow, open_files


def files(path: Path | str, **options: Any) -> Files:
    return Files(SourceOptions(path=str(path), **options), (".tar",))


def names(path: Path | str, start: str | None = None, **options: Any) -> list[str]:
    return [file.name for file in files(path, **options).list(start)]


def test_a_path_may_be_one_file(tmp_path: Path):
    grow(tmp_path, "train.v1.tar", "other.tar")

    assert names(tmp_path / "train.v1.tar") == ["train.v1.tar"]
    assert files(tmp_path / "train.v1.tar").dataset == "train"


def test_a_folder_gives_its_files_sorted_by_their_folders(tmp_path: Path):
    grow(tmp_path, "b.tar", "a/2.tar", "a/1.tar", "a/b/0.tar", "a.tar", "a.json", ".hidden/x.tar")

    assert names(tmp_path) == ["a/1.tar", "a/2.tar", "a/b/0.tar", "a.tar", "b.tar"]
    assert names(tmp_path, recursive=False) == ["a.tar", "b.tar"]


def test_a_listing_goes_on_from_a_name_that_may_be_gone(tmp_path: Path):
    grow(tmp_path, "a/1.tar", "a/3.tar", "b/1.tar")

    assert names(tmp_path, "a/2.tar") == ["a/3.tar", "b/1.tar"]
    assert names(tmp_path, "a/3.tar") == ["a/3.tar", "b/1.tar"]
    assert names(tmp_path / "{a,b}" / "*.tar", "b/0.tar") == ["b/1.tar"]
    assert names(f"{tmp_path}/{{a/1,a/3,b/1}}.tar", "a/2.tar") == ["a/3.tar", "b/1.tar"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("*/1.tar", ["a/1.tar", "b/1.tar"]),
        ("a/*", ["a/1.tar", "a/2.tar"]),
        ("**/1.tar", ["a/1.tar", "a/x/1.tar", "b/1.tar"]),
        ("{a,b}/{1..1}.tar", ["a/1.tar", "b/1.tar"]),
        ("[ab]/?.tar", ["a/1.tar", "a/2.tar", "b/1.tar"]),
    ],
)
def test_globs_and_braces_are_looked_up(tmp_path: Path, path: str, expected: list[str]):
    grow(tmp_path, "a/1.tar", "a/2.tar", "a/x/1.tar", "b/1.tar", "b/1.txt")
    root = tmp_path / "a" if path.startswith("a/") else tmp_path

    found = list(files(tmp_path / path).list())
    assert [file.where for file in found] == [f"{tmp_path}/{name}" for name in expected]
    assert [file.name for file in found] == [
        os.path.relpath(tmp_path / name, root) for name in expected
    ]


def test_several_paths_are_joined_and_none_is_doubled(tmp_path: Path):
    grow(tmp_path, "a/1.tar", "b/2.tar", "c/3.tar")

    joined = f"{tmp_path}/b::{tmp_path}/a/1.tar::{tmp_path}/**/2.tar"
    assert names(joined) == ["a/1.tar", "b/2.tar"]


def test_a_file_that_has_braces_in_its_name_is_found(tmp_path: Path):
    grow(tmp_path, "{a,b}.tar", "[x].tar")

    assert names(tmp_path / "{a,b}.tar") == ["{a,b}.tar"]
    assert names(tmp_path / "[x].tar") == ["[x].tar"]


def test_what_is_listed_is_opened_by_its_name(tmp_path: Path):
    grow(tmp_path, "a/1.tar", "b/2.tar")
    found = files(tmp_path)

    for file in found.list():
        assert found.get(file.name).read(0, 7) == file.name.encode()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc/passwd", "../secret.tar", "a/../../secret.tar", "a//1.tar", "a\0.tar",
     ".hidden.tar", ".hidden/1.tar", "a/1.txt", "\ufffd2F.tar", "a/" * 5000 + "x.tar", "a", "a/"],
)  # fmt: skip
def test_a_strange_name_leads_nowhere(tmp_path: Path, name: str):
    grow(tmp_path, "secret.tar", "root/a/1.tar", "root/.hidden/1.tar", "root/a/1.txt")

    for path in ("root", "root/**/*.tar", "root/{a/1,b/2}.tar"):
        with pytest.raises(SourceError):
            files(tmp_path / path).get(name).facts()


def test_links_are_passed_over_unless_they_are_asked_for(tmp_path: Path):
    grow(tmp_path, "root/a/1.tar", "out/2.tar")
    (tmp_path / "root/in.tar").symlink_to("a/1.tar")
    (tmp_path / "root/out.tar").symlink_to(tmp_path / "out/2.tar")
    (tmp_path / "root/a/ring").symlink_to("..")

    assert names(tmp_path / "root") == ["a/1.tar"]
    assert names(tmp_path / "root", follow_symlinks=True) == ["a/1.tar", "in.tar"]
    for name in ("in.tar", "out.tar"):
        with pytest.raises(FileUnreadable, match="link"):
            files(tmp_path / "root").get(name).facts()


def test_a_link_that_the_path_names_is_followed(tmp_path: Path):
    grow(tmp_path, "blobs/1")
    (tmp_path / "x.tar").symlink_to("blobs/1")

    [file] = files(tmp_path / "x.tar").list()
    assert file.read(0, 7) == b"blobs/1"


def test_names_that_are_not_utf8_come_back(tmp_path: Path):
    with open(os.fsencode(tmp_path) + b"/\xff.tar", "wb") as file:  # noqa: PTH123
        file.write(b"x")

    [found] = files(tmp_path).list()
    assert found.name == "\ufffdFF.tar"
    assert files(tmp_path).get(found.name).read(0, 1) == b"x"


def test_a_file_is_read_in_pieces_from_anywhere(tmp_path: Path):
    body = os.urandom(3 << 20)
    (tmp_path / "x.tar").write_bytes(body)
    [file] = files(tmp_path).list()

    assert file.facts().size == len(body)
    assert file.read(5, 2 << 20) == body[5 : 5 + (2 << 20)]
    assert b"".join(file.stream(7)) == body[7:]
    assert b"".join(file.stream(7, 9)) == body[7:9]
    assert list(file.stream(9, 9)) == []
    with AsIO(file) as opened:
        assert opened.seek(-10, os.SEEK_END) == len(body) - 10
        assert opened.read() == body[-10:]
        assert opened.read(1) == b""


def test_a_file_that_ends_too_early_has_changed(tmp_path: Path):
    grow(tmp_path, "x.tar")
    [file] = files(tmp_path).list()

    with pytest.raises(ShardChanged, match="ends before byte 100"):
        file.read(0, 100)


def test_a_fingerprint_changes_with_the_file_and_not_without(tmp_path: Path):
    grow(tmp_path, "x.tar")
    [file] = files(tmp_path).list()
    before = file.facts()
    assert file.facts() == before

    (tmp_path / "x.tar").write_bytes(b"other!")
    assert file.facts().fingerprint != before.fingerprint


def test_what_was_asked_about_is_what_is_read(tmp_path: Path):
    """A file replaced after its facts were asked for does not mix with the one before."""
    (tmp_path / "x.tar").write_bytes(b"before")
    [file] = files(tmp_path).list()
    file.facts()
    (tmp_path / "y").write_bytes(b"after!")
    (tmp_path / "y").replace(tmp_path / "x.tar")

    assert file.read(0, 6) == b"before"
    file.facts()
    assert file.read(0, 6) == b"after!"


def test_files_are_closed_when_nobody_reads_them(tmp_path: Path):
    grow(tmp_path, *(f"{n}.tar" for n in range(20)))
    before = open_files()
    for file in files(tmp_path).list():
        file.facts()
        list(file.stream(0))
    del file

    assert open_files() <= before + 1


def test_a_missing_file_is_gone(tmp_path: Path):
    grow(tmp_path, "1.tar")
    one, two = files(f"{tmp_path}/{{1..2}}.tar").list()
    one.facts()

    with pytest.raises(FileGone, match=r"2\.tar is not there"):
        two.facts()


@pytest.mark.parametrize("path", ["nothing.tar", "nothing/here", "nothing/*.tar"])
def test_a_path_with_nothing_there_is_refused(tmp_path: Path, path: str):
    with pytest.raises(SourceError, match="nothing"):
        files(tmp_path / path)


@pytest.mark.parametrize("path", ["", "::", "/a.tar::https://x.org/b.tar"])
def test_a_path_that_makes_no_sense_is_refused(path: str):
    with pytest.raises(ConfigError):
        files(path)


def test_a_pipe_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "x.tar")
    [file] = files(tmp_path).list()

    with pytest.raises(CaptionFlowError, match="not a regular file"):
        file.facts()


def test_a_file_that_is_written_over_while_it_is_read_has_changed(tmp_path: Path):
    """Its new bytes at the old places would be another sample's image."""
    path = tmp_path / "x.tar"
    path.write_bytes(b"before")
    [file] = files(path).list()
    file.facts()
    assert file.read(0, 6) == b"before"
    path.write_bytes(b"behind")
    os.utime(path, (5, 5))  # clocks of file systems are coarse

    with pytest.raises(ShardChanged):
        file.read(0, 6)
    assert file.facts().size == 6
    assert file.read(0, 6) == b"behind"
