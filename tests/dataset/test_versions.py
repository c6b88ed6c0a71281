"""Versions: the newest settings that rows were made with, told by footers alone."""

from pathlib import Path

from msgspec.structs import replace

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.versions import newest_version
from tests.made import caption


def publish(folder: PartFolder, *versions: int) -> str:
    """A part with a row of each version."""
    part = folder.open(ColumnSchema(("captions",)))
    for number, version in enumerate(versions):
        row = caption(number)
        made = tuple(replace(outcome, settings_version=version) for outcome in row.outcomes)
        part.append([replace(row, outcomes=made)])
    part.prepare()
    part.publish()
    return part.name


def test_highest_version_of_all_parts_is_found(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    publish(folder, 2, 7, 3)
    publish(folder, 4)

    assert newest_version(folder) == 7


def test_without_parts_it_is_none(tmp_path: Path):
    assert newest_version(PartFolder(tmp_path, "books")) == 0


def test_damaged_part_is_passed_over(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    publish(folder, 5)
    folder.file(publish(folder, 9)).write_bytes(b"damaged")

    assert newest_version(folder) == 5
