"""Inventory: what a folder holds is told apart without a hand on it."""

from pathlib import Path

import pytest

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.inventory import Inventory, take_inventory, use_file
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from tests.made import caption

AGREED = ColumnSchema(("captions",))


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    return PartFolder(tmp_path, "books")


def opened(folder: PartFolder) -> OpenPart:
    part = folder.open(AGREED)
    part.append([caption(1)])
    return part


def test_parts_are_told_apart_by_name_and_writer(folder: PartFolder):
    published, writing, abandoned = (opened(folder) for _ in range(3))
    for part in (published, abandoned):
        part.prepare()
    published.publish()
    abandoned.abandon()

    found = take_inventory(folder)
    writing.discard()

    assert found == Inventory(
        published=frozenset({published.name}),
        writing=frozenset({writing.name}),
        abandoned=frozenset({abandoned.name}),
    )


def test_folder_that_is_not_there_has_nothing(folder: PartFolder):
    nothing: frozenset[str] = frozenset()

    assert take_inventory(folder) == Inventory(nothing, nothing, nothing)


def test_writer_goes_on_after_a_look(folder: PartFolder):
    part = opened(folder)
    take_inventory(folder)

    assert folder.abandoned() == []
    part.prepare()
    part.publish()
    assert take_inventory(folder).published == {part.name}


def test_abandoned_part_can_be_taken_over_after_a_look(folder: PartFolder):
    part = opened(folder)
    part.prepare()
    part.abandon()
    take_inventory(folder)

    [found] = folder.abandoned()
    found.settle(recorded=True)

    assert take_inventory(folder).published == {part.name}


def test_part_is_found_though_it_is_renamed_just_now(folder: PartFolder):
    part = opened(folder)
    part.prepare()

    def use(file: Path) -> None:
        try:
            file.resolve(strict=True)
        except FileNotFoundError:
            part.publish()
            raise

    found = use_file(folder, part.name, use)
    part.abandon()

    assert found


def test_part_is_found_under_either_name(folder: PartFolder):
    part = opened(folder)
    part.prepare()
    used: list[Path] = []

    assert use_file(folder, part.name, lambda file: used.append(file.resolve(strict=True)))
    part.publish()
    assert use_file(folder, part.name, lambda file: used.append(file.resolve(strict=True)))
    assert not use_file(folder, "part-none", lambda file: used.append(file.resolve(strict=True)))

    assert used == [folder.temporary(part.name).resolve(), folder.file(part.name).resolve()]
