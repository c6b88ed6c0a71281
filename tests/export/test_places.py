"""Where an export is written: what is there already, what is in the way, and what the disk says."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.export import drive
from caption_flow.export.draft import Draft
from tests.export.command import export, exported, files, refused
from tests.export.makers import plain
from tests.sink.disks import Disk, mounted

FORMATS = ("jsonl", "csv", "json", "txt", "parquet")
FILES, FOLDERS = ("jsonl", "csv"), ("json", "txt", "parquet")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    for number in range(3):
        rows = [{"id": f"{number}/{n}.jpg", "captions": [f"text {n} " * 50]} for n in range(4)]
        plain(folder, number, rows)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than is left of a disk."""
    folder = tmp_path_factory.mktemp("large") / "photos"
    for number in range(4):
        text = os.urandom(50_000).hex()
        plain(folder, number, [{"id": f"{number}.jpg", "captions": [text]}])
    return folder


def draft_of(name: str, output: Path) -> Path:
    return (
        output / f".export-{name}"
        if name in FOLDERS
        else output.with_name(f".{output.name}.export")
    )


@pytest.mark.parametrize("name", FORMATS)
def test_folders_on_the_way_are_made(name: str, parts: Path, tmp_path: Path):
    output = tmp_path / "a" / "b" / "out"
    done = exported(parts, "--format", name, "-o", output)

    assert done.out == f"Exported 12 samples to {output}.\n"
    assert done.err == ""
    assert not any(path.name.startswith(".") for path in tmp_path.rglob("*"))


def test_output_that_nobody_named_is_called_like_the_job(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in FORMATS:
        exported(parts, "--format", name)

    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"photos.jsonl", "photos.csv", "photos-json", "photos-txt", "photos-parquet"}


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
def test_what_is_there_is_replaced_only_where_asked(name: str, parts: Path, tmp_path: Path):
    arguments = (parts, "--format", name, "-o", tmp_path / "out")
    small = ("--rows-per-file", 1) if name == "parquet" else ()
    exported(*arguments, "--limit", 2, *small)
    before = files(tmp_path)

    told = refused(*arguments)
    assert "is there already: --overwrite replaces it, or name another --output." in told
    assert files(tmp_path) == before
    exported(*arguments, "--overwrite")
    whole = files(tmp_path)
    exported(parts, "--format", name, "-o", tmp_path / "new" / "out")
    assert whole == files(tmp_path / "new")


@pytest.mark.parametrize("name", ["json", "txt"])
def test_files_of_samples_that_say_something_else_stay_and_are_told(
    name: str, parts: Path, tmp_path: Path
):
    arguments = (parts, "--format", name, "-o", tmp_path)
    exported(*arguments)
    whole = files(tmp_path)
    mine = tmp_path / "1" / f"2.{name}"
    mine.write_text("mine")
    (tmp_path / "0" / "1.jpg").write_text("an image")

    done = export(*arguments)
    assert done.code == 1
    assert done.err == (
        f"1 files that were there and say something else, such as {mine}, stay as they are; "
        "--overwrite replaces them.\n"
    )
    assert mine.read_text() == "mine"
    assert exported(*arguments, "--overwrite").err == ""
    assert files(tmp_path) == whole | {"0/1.jpg": b"an image"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_folder_is_never_replaced_by_a_file(
    name: str, overwrite: tuple[str, ...], parts: Path, tmp_path: Path
):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "image.jpg").write_text("an image")
    before = files(tmp_path)

    told = refused(parts, "--format", name, "-o", tmp_path / "precious", *overwrite)

    assert "precious is a folder: name a file in it as --output." in told
    assert files(tmp_path) == before


@pytest.mark.parametrize("output", [".", "/", "..", "./"])
def test_output_without_a_name_is_told(
    output: str, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    assert "is a folder" in refused(parts, "-o", output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_file_in_the_place_of_a_folder_is_told(
    name: str, overwrite: tuple[str, ...], parts: Path, tmp_path: Path
):
    (tmp_path / "out").write_text("mine")

    told = refused(parts, "--format", name, "-o", tmp_path / "out", *overwrite)

    assert "out is no folder, as is needed: name another --output." in told
    assert files(tmp_path) == {"out": b"mine"}


@pytest.mark.parametrize("name", FORMATS)
def test_file_on_the_way_is_told(name: str, parts: Path, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    told = refused(parts, "--format", name, "-o", tmp_path / "file" / "out", code=1)

    assert "cannot be written (Not a directory)" in told


def test_folder_in_the_place_of_one_of_the_set_stays(parts: Path, tmp_path: Path):
    """As programs make that call a folder of Parquet like a file."""
    folder = tmp_path / "train-00000-of-00001.parquet"
    folder.mkdir()
    (folder / "part").write_text("mine")
    told = refused(parts, "--format", "parquet", "-o", tmp_path, "--overwrite", code=1)

    assert "train-00000-of-00001.parquet cannot be written (Is a directory)" in told
    assert (folder / "part").read_text() == "mine"


@pytest.mark.parametrize("name", ["txt", "json"])
def test_folder_in_the_place_of_a_file_of_a_sample_stays(name: str, parts: Path, tmp_path: Path):
    (tmp_path / "0" / f"1.{name}" / "mine").mkdir(parents=True)
    for more in ((), ("--overwrite",)):
        done = export(parts, "--format", name, "-o", tmp_path, *more)

        assert done.code == 1
        assert f"0/1.{name}, stay as they are" in done.err
    assert (tmp_path / "0" / f"1.{name}" / "mine").is_dir()


@pytest.mark.parametrize("name", FORMATS)
def test_link_in_the_place_of_a_draft_is_not_followed(name: str, parts: Path, tmp_path: Path):
    """In a folder that others may write to it may lead anywhere, and a draft is cleared."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "parts.json").write_text("mine")
    output = tmp_path / "shared" / "out"
    draft = draft_of(name, output)
    draft.parent.mkdir(parents=True)
    draft.symlink_to(tmp_path / "precious")

    told = refused(parts, "--format", name, "-o", output, code=1)

    assert f"{draft} is a link. Move it away, or name another --output." in told
    assert (tmp_path / "precious" / "parts.json").read_text() == "mine"


@pytest.mark.parametrize("name", FORMATS)
def test_folder_in_the_place_of_a_draft_that_is_none_is_not_cleared(
    name: str, parts: Path, tmp_path: Path
):
    draft = draft_of(name, tmp_path / "out")
    draft.mkdir(parents=True)
    (draft / "mine").write_text("mine")

    told = refused(parts, "--format", name, "-o", tmp_path / "out", code=1)

    assert f"{draft} is no draft of an export. Move it away" in told
    assert (draft / "mine").read_text() == "mine"


def test_link_as_output_is_replaced_and_what_it_leads_to_stays(parts: Path, tmp_path: Path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "mine")

    assert "is there already" in refused(parts, "-o", tmp_path / "out")
    exported(parts, "-o", tmp_path / "out", "--overwrite")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "out").is_symlink()


@pytest.mark.parametrize("name", FORMATS)
def test_second_export_to_the_same_output_is_refused(name: str, parts: Path, tmp_path: Path):
    output = tmp_path / "out"
    with Draft(draft_of(name, output), "another"):
        told = refused(parts, "--format", name, "-o", output, code=1)

    assert "Another export writes here already" in told
    exported(parts, "--format", name, "-o", output)


def test_wrong_wish_leaves_no_folder_behind(parts: Path, tmp_path: Path):
    for name in FORMATS:
        refused(parts, "--format", name, "-o", tmp_path / "new" / "out", "--columns", "nothing")

    assert not files(tmp_path)
    assert not (tmp_path / "new" / "out").exists()


def test_job_without_finished_parts_is_told(tmp_path: Path):
    (tmp_path / "captions" / "photos").mkdir(parents=True)
    told = refused("photos", "--data-dir", tmp_path / "captions", "-o", tmp_path / "out")

    assert "captions/photos has no finished parts yet." in told


@pytest.fixture
def disk(tmp_path: Path):
    with mounted(tmp_path / "disk") as small:
        yield small


@pytest.fixture(params=[0.0, 1000.0], ids=["settling", "not yet settled"])
def settle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "SETTLE_SECONDS", request.param)


@pytest.mark.usefixtures("settle")
@pytest.mark.parametrize("name", FORMATS)
def test_export_goes_on_once_a_full_disk_has_room(
    name: str, large: Path, disk: Disk, tmp_path: Path
):
    disk.fill(leave=150_000)
    columns = () if name == "txt" else ("--columns", "id,captions")
    arguments = (large, "--format", name, *columns, "-o")
    told = refused(*arguments, disk.path / "out", code=1)

    assert "cannot be written (No space left on device). Mend that and run the same" in told
    assert not {"out", "out/train-00000-of-00001.parquet"}.intersection(files(disk.path))
    disk.free()
    exported(*arguments, disk.path / "out")
    exported(*arguments, tmp_path / "whole" / "out")
    assert files(disk.path) == files(tmp_path / "whole")


@pytest.mark.parametrize("name", FORMATS)
def test_disk_that_is_read_only_is_told(name: str, parts: Path, disk: Disk):
    disk.forbid_writing()
    told = refused(parts, "--format", name, "-o", disk.path / "out", code=1)

    assert "cannot be written (Read-only file system). Mend that" in told
    disk.allow_writing()


def test_disk_of_temporary_files_that_is_full_is_told(
    parts: Path, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    disk.fill()
    told = refused(parts, "-o", tmp_path / "out", code=1)

    assert f"Temporary files cannot be written in {disk.path} (No space left on device)" in told
    assert not (tmp_path / "out").exists()


def test_name_of_an_output_may_be_anything(parts: Path, tmp_path: Path):
    output = tmp_path / os.fsdecode(b"caf\xe9 \n")
    done = exported(parts, "-o", output)

    assert output.exists()
    assert done.out.startswith("Exported 12 samples to ")
    assert "File name too long" in refused(parts, "-o", tmp_path / ("n" * 250), code=1)


def test_device_is_never_replaced(parts: Path):
    told = refused(parts, "-o", "/dev/null", "--overwrite")

    assert told == 'Error: /dev/null is no file; standard output is "-".\n'
    assert Path("/dev/null").is_char_device()


def test_standard_output_that_is_full_or_closed_is_told(parts: Path):
    """In processes, since it is theirs."""
    command = [sys.executable, "-m", "caption_flow", "export", parts, "-o", "-"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: Standard output cannot be written (No space left on device).\n"

    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def torn(folder: Path) -> None:
    plain(folder, 1, []).write_bytes(b"PAR1 and no more")


def strange(folder: Path) -> None:
    pq.write_table(pa.table({"name": ["1"]}), folder / "part-of-somebody-else.parquet")


def other(folder: Path) -> None:
    plain(folder, 1, [{"id": "1", "captions": ["x"], "year": "text"}], year=pa.string())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (torn, "00000001.parquet cannot be read"),
        (strange, "part-of-somebody-else.parquet is no part"),
        (other, "Field year has incompatible types: int64 vs string"),
    ],
)
def test_parts_that_cannot_be_read_are_told_and_nothing_is_written(
    change: Callable[[Path], None], sentence: str, tmp_path: Path
):
    plain(tmp_path / "photos", 0, [{"id": "0", "captions": ["x"], "year": 1}], year=pa.int64())
    change(tmp_path / "photos")
    for name in FORMATS:
        output = tmp_path / "new" / "out"
        assert sentence in refused(tmp_path / "photos", "--format", name, "-o", output)

    assert not files(tmp_path / "new")
    assert sentence in refused(tmp_path / "photos", "-o", "-")


def test_file_in_the_place_of_the_folder_of_all_formats_is_told(parts: Path, tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    told = refused(parts, "--format", "all", "-o", tmp_path / "out")

    assert "out is no folder, as --format all needs" in told
