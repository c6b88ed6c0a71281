"""The doctor and what lies on disks: captions to be written, and images to be read."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.dataset.columns import infer
from caption_flow.dataset.parts import PartFolder
from tests.doctor.practice import SIMULATED, Practice
from tests.sink.disks import Disk, mounted


@pytest.fixture
def disk(practice: Practice) -> Iterator[Disk]:
    with mounted(practice.folder / "caption_data") as small:
        yield small


def test_full_disk_is_found(practice: Practice, disk: Disk):
    disk.fill()

    report = practice.examine("photos", *SIMULATED)

    said, cure = report.only("data dir", "problem")
    assert said == f"No space left in {disk.path}."
    assert cure == "Free some; nothing is lost."


def test_disk_that_is_small_for_the_job_is_found(practice: Practice, disk: Disk):
    report = practice.examine("photos", *SIMULATED)

    said, cure = report.only("data dir", "warning")
    assert f"{disk.path} has " in said
    assert " free, and this job may want " in said
    assert "set storage.data_dir to a larger disk" in cure


def test_data_dir_that_is_read_only_is_found(practice: Practice, disk: Disk):
    disk.forbid_writing()

    report = practice.examine("photos", *SIMULATED)

    said, cure = report.only("data dir", "problem")
    assert said == f"{disk.path} is on a disk that is read-only."
    assert "Mount it for writing" in cure


def test_data_dir_that_is_closed_to_us_is_found(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
):
    """The tests may run as root, who is kept out of nothing."""
    closed, exists = practice.folder / "caption_data", Path.exists

    def look(path: Path) -> bool:
        if closed in (path, *path.parents):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", look)

    said, cure = practice.examine("photos", *SIMULATED).only("data dir", "problem")

    assert said.startswith(f"{closed}")
    assert said.endswith("cannot be looked at: Permission denied.")
    assert "Let this user in" in cure


def test_parts_that_a_dead_sink_left_are_found_and_left(practice: Practice):
    folder = PartFolder(practice.folder / "caption_data", "photos")
    part = folder.open(infer(["captions"], []))
    part.abandon()

    report = practice.examine("photos", *SIMULATED)

    said, cure = report.only("data dir", "warning")
    assert "has 1 hidden parts whose sinks are gone, such as .part-" in said
    assert "caption-flow scan_chunks --fix" in cure
    assert folder.is_unpublished(part.name)


def test_doctor_leaves_no_file(practice: Practice):
    before = sorted(practice.folder.rglob("*"))

    practice.examine("photos", *SIMULATED)

    assert sorted(practice.folder.rglob("*")) == before


def test_data_set_that_is_not_there_is_found(practice: Practice):
    report = practice.examine("phots", *SIMULATED)

    said, cure = report.only("data set", "problem")
    assert "phots" in said
    assert cure


def test_images_that_are_none_are_found(practice: Practice):
    for path in practice.photos.iterdir():
        path.write_bytes(b"no image")

    report = practice.examine("photos", *SIMULATED)

    said, cure = report.only("data set", "problem")
    assert "5 of the first 5 images cannot be read, such as 0" in said
    assert "docs/sources.md" in cure


def test_image_that_is_none_among_good_ones_is_a_warning(practice: Practice):
    next(iter(sorted(practice.photos.iterdir()))).write_bytes(b"no image")

    said, cure = practice.examine("photos", *SIMULATED).only("data set", "warning")

    assert "1 of the first 5 images cannot be read" in said
    assert "docs/dead-letters.md" in cure


def test_folder_without_images_is_found(practice: Practice):
    for path in practice.photos.iterdir():
        path.unlink()

    said, cure = practice.examine("photos", *SIMULATED).only("data set", "problem")

    assert "photos has no sample" in said
    assert "Mend the path" in cure


def test_prompt_of_a_column_that_is_not_there_is_found(practice: Practice):
    prompt = ("--set", "vllm.inference_prompts=['What is {column:titel}?']")

    report = practice.examine("photos", *SIMULATED, *prompt)

    said, cure = report.only("prompts", "problem")
    assert "titel" in said
    assert cure
