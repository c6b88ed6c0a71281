"""One Raw for each name asked, in that order, whatever lies there."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from caption_flow.errors import SourceError
from caption_flow.model import Listed, Raw
from caption_flow.retry import Backoff
from feeders import beneath
from tests.feeders.test_listing import refuse
from tests.feeders.tree import grow, names, open_files, read, read_one, source


def test_a_sample_holds_the_bytes_and_where_they_lay(tmp_path: Path):
    grow(tmp_path, "a/1.jpg")

    assert read_one(tmp_path, "a", "1.jpg") == Raw("a/1.jpg", f"{tmp_path}/a/1.jpg", b"a/1.jpg")


def test_samples_come_in_the_order_asked(tmp_path: Path):
    grow(tmp_path, "1.jpg", "2.jpg", "3.jpg")

    assert [raw.id for raw in read(tmp_path, ".", ["3.jpg", "1.jpg", "2.jpg"])] == [
        "3.jpg",
        "1.jpg",
        "2.jpg",
    ]


def test_a_lost_file_is_told_and_the_others_are_read(tmp_path: Path):
    grow(tmp_path, "1.jpg", "3.jpg")

    assert [raw.error for raw in read(tmp_path, ".", ["1.jpg", "2.jpg", "3.jpg"])] == [
        "",
        "it is not there any more",
        "",
    ]


def test_an_empty_file_is_no_error_of_reading(tmp_path: Path):
    (tmp_path / "1.jpg").touch()

    assert read_one(tmp_path, ".", "1.jpg") == Raw("1.jpg", f"{tmp_path}/1.jpg", b"")


def test_every_sample_of_a_lost_folder_is_told(tmp_path: Path):
    found = read(tmp_path, "gone", ["1.jpg", "2.jpg"])

    assert [(raw.id, raw.error) for raw in found] == [
        ("gone/1.jpg", "Its folder: it is not there any more"),
        ("gone/2.jpg", "Its folder: it is not there any more"),
    ]


def test_a_file_at_the_limit_is_read(tmp_path: Path):
    grow(tmp_path, "1.jpg")

    assert read_one(tmp_path, ".", "1.jpg", max_file_size=5).image == b"1.jpg"


def test_a_file_above_the_limit_is_told_with_both_numbers(tmp_path: Path):
    grow(tmp_path, "1.jpg")

    assert (
        read_one(tmp_path, ".", "1.jpg", max_file_size=4).error == "it has 5 bytes; the limit is 4"
    )


def test_a_pipe_is_told_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")

    assert read_one(tmp_path, ".", *names(tmp_path)).error == "it is not a regular file"


def test_a_socket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.jpg")

        assert read_one(tmp_path, ".", "s.jpg").error == "it is not a regular file"


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path):
    grow(tmp_path, "a.jpg/1.jpg")

    assert read_one(tmp_path, ".", "a.jpg").error == "it is not a regular file"


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = source(grow(tmp_path, "1.jpg"))
    refuse(monkeypatch, "1.jpg", PermissionError, errno.EACCES)

    assert [raw.error for raw in made.samples(".", [Listed("1.jpg")])] == ["permission denied"]


class Troubled:
    """Opening of files and folders that fails for some names, some times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: int, *of: str) -> None:
        self._really = os.open
        self._number = number
        self._times = times
        self._of = of
        self.tried = 0
        monkeypatch.setattr(beneath.os, "open", self._open)

    def _open(self, path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if Path(path).name in self._of:
            self.tried += 1
            if self.tried <= self._times:
                raise OSError(self._number, os.strerror(self._number))
        return self._really(path, flags, dir_fd=dir_fd)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long pauses between two tries."""
    monkeypatch.setattr(beneath, "BACKOFF", Backoff(first=0.001, ceiling=0.001))


HICCUPS = [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("number", HICCUPS)
@pytest.mark.parametrize("what", ["1.jpg", "a", "root"])
def test_a_hiccup_of_a_mount_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
):
    made = source(grow(tmp_path / "root", "a/1.jpg"))
    trouble = Troubled(monkeypatch, number, 3, what)

    assert [raw.image for raw in made.samples("a", [Listed("1.jpg")])] == [b"a/1.jpg"]
    assert trouble.tried > 3


@pytest.mark.usefixtures("brisk")
def test_a_folder_that_is_stale_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As where the server of a mount was started anew: what was open stays as it is."""
    made = source(grow(tmp_path, "a/1.jpg", "a/2.jpg"))
    really, stale = os.open, set[int | None]()

    def opened(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if dir_fd in stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return really(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(beneath.os, "open", opened)
    monkeypatch.setattr(beneath.Tree, "open_folder", _noting(stale, beneath.Tree.open_folder))

    assert [raw.error for raw in made.samples("a", [Listed("1.jpg"), Listed("2.jpg")])] == ["", ""]
    assert stale


def _noting(made: set[int | None], open_folder: Callable[..., int]) -> Callable[..., int]:
    def opened(*args: object) -> int:
        folder = open_folder(*args)
        made.add(folder)
        return folder

    return opened


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ELOOP])
def test_what_stays_as_it_is_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    made = source(grow(tmp_path, "1.jpg"))
    trouble = Troubled(monkeypatch, number, 1, "1.jpg")

    assert [bool(raw.error) for raw in made.samples(".", [Listed("1.jpg")])] == [True]
    assert trouble.tried == 1


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("number", HICCUPS)
@pytest.mark.parametrize("what", ["1.jpg", "a", "root"])
def test_a_mount_that_stays_away_is_no_fault_of_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
):
    """Else a whole data set would end among the dead letters."""
    made = source(grow(tmp_path / "root", "a/1.jpg"))
    Troubled(monkeypatch, number, 1000, what)
    monkeypatch.setattr(beneath.os, "statvfs", _refusing(number))

    with pytest.raises(SourceError, match=os.strerror(number)):
        list(made.samples("a", [Listed("1.jpg")]))


def _refusing(number: int) -> Callable[..., object]:
    def refused(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.usefixtures("brisk")
def test_a_file_on_a_failing_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk answers, so it is this file that cannot be had, today or tomorrow."""

    def failing(_fd: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    made = source(grow(tmp_path, "1.jpg"))
    monkeypatch.setattr(beneath.os, "read", failing)

    assert [raw.error for raw in made.samples(".", [Listed("1.jpg")])] == [
        "it cannot be read: Input/output error"
    ]


def test_a_host_out_of_file_handles_is_no_fault_of_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a whole data set would end among the dead letters within seconds."""
    made = source(grow(tmp_path, "1.jpg"))
    refuse(monkeypatch, "1.jpg", OSError, errno.EMFILE)

    with pytest.raises(SourceError, match="Too many open files"):
        list(made.samples(".", [Listed("1.jpg")]))


def test_a_root_that_is_gone_is_no_fault_of_the_samples(tmp_path: Path):
    root = grow(tmp_path / "root", "1.jpg")
    made = source(root)
    root.rename(tmp_path / "moved")

    with pytest.raises(SourceError, match="does not exist"):
        list(made.samples(".", [Listed("1.jpg")]))


def test_a_read_that_gives_less_than_all_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    really = os.read
    made = source(grow(tmp_path, "a/1.jpg"))
    monkeypatch.setattr(beneath.os, "read", lambda fd, size: really(fd, min(size, 3)))

    assert [raw.image for raw in made.samples("a", [Listed("1.jpg")])] == [b"a/1.jpg"]


def test_a_file_that_shrinks_while_it_is_read_ends_where_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    really = os.read
    made = source(grow(tmp_path, "1.jpg"))

    def shrinking(fd: int, size: int) -> bytes:
        os.truncate(tmp_path / "1.jpg", 2)
        return really(fd, size)

    monkeypatch.setattr(beneath.os, "read", shrinking)

    assert [raw.image for raw in made.samples(".", [Listed("1.jpg")])] == [b"1."]


HOSTILE_NAMES = [
    *("../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "..", ".", "", "a/1.jpg", "./1.jpg"),
    *("1.jpg\0.jpg", ".hidden.jpg", "notes.txt", "\ufffd2F.jpg", "\ufffd", "1\ufffd.jpg"),
    *("\ufffdC3\ufffdA9.jpg", "x" * 300 + ".jpg"),
]
HOSTILE_SHARDS = ["..", "../other", "/", "/etc", "a/..", "a//b", "a/./b", "a/", "", "a\0b", ".git"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str):
    grow(tmp_path, "secret.jpg", "root/a/1.jpg", "root/.hidden.jpg", "root/notes.txt", "root/é.jpg")
    raw = read_one(tmp_path / "root", ".", name)

    assert (raw.image, bool(raw.error)) == (b"", True)


@pytest.mark.parametrize("shard", HOSTILE_SHARDS)
def test_a_shard_that_leads_elsewhere_is_told(tmp_path: Path, shard: str):
    grow(tmp_path, "1.jpg", "other/1.jpg", "root/1.jpg", "root/.git/1.jpg", "root/a/b/1.jpg")
    raw = read_one(tmp_path / "root", shard, "1.jpg")

    assert (raw.image, bool(raw.error)) == (b"", True)


@pytest.mark.parametrize("asked", [["1.jpg"], ["gone.jpg"], ["pipe.jpg"], ["../1.jpg"]])
def test_no_file_stays_open(tmp_path: Path, asked: list[str]):
    grow(tmp_path, "a/1.jpg")
    os.mkfifo(tmp_path / "a/pipe.jpg")
    made = source(tmp_path)
    before = open_files()

    list(made.samples("a", list(map(Listed, asked))))

    assert open_files() == before


def test_no_file_stays_open_when_reading_stops_early(tmp_path: Path):
    grow(tmp_path, "1.jpg", "2.jpg")
    made = source(tmp_path)
    before = open_files()

    reading = made.samples(".", [Listed("1.jpg"), Listed("2.jpg")])
    next(iter(reading))
    del reading

    assert open_files() == before
