"""Merging: small parts become a large one, whose rows are theirs, each once at every moment."""

import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset import merged as superseding
from caption_flow.dataset import merging as mergings
from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.inventory import take_inventory
from caption_flow.dataset.known import finished_parts
from caption_flow.dataset.merged import MERGED
from caption_flow.dataset.merging import Merging, finish, measure
from caption_flow.dataset.open_part import AGREED as KEY
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import retire
from caption_flow.errors import StorageBlocked, StorageUnfit
from tests.dataset.mergers import AGREED, grouped, merged, rows_of, written


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    return PartFolder(tmp_path, "books")


def test_rows_of_a_merged_part_are_those_of_its_parts_in_order(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mergings, "ROWS_PER_GROUP", 2)
    parts = [written(folder, 5, 1, 3), written(folder, 2, 0), written(folder, 1)]
    before = rows_of(folder)

    name = merged(folder, parts)

    assert folder.published() == [name]
    assert pq.read_table(folder.file(name)).to_pylist() == before
    assert [row["id"][:5] for row in before] == [
        "00000",
        "00001",
        "00001",
        "00002",
        "00003",
        "00005",
    ]


def test_merged_part_has_the_columns_that_were_agreed(folder: PartFolder):
    before = pq.read_schema(folder.file(written(folder, 1)))
    name = merged(folder, [folder.published()[0], written(folder, 2)])

    schema = pq.read_schema(folder.file(name))

    assert schema.remove_metadata() == before.remove_metadata()
    assert schema.metadata[KEY] == before.metadata[KEY]
    assert folder.agreed() == AGREED


def test_parts_are_superseded_as_soon_as_the_merged_one_is_published(folder: PartFolder):
    parts = [written(folder, 1), written(folder, 2)]
    merging = Merging(folder, parts)
    merging.write()
    assert folder.published() == sorted(parts)

    folder.publish(merging.name)
    merging.close()

    assert folder.published() == [merging.name]
    assert all(folder.is_published(part) for part in parts)
    assert folder.look().superseded == dict.fromkeys(parts, merging.name)


def test_merged_part_stands_where_the_newest_of_its_parts_stood(folder: PartFolder):
    parts = [written(folder, number) for number in range(4)]
    names = [f"part-2026010{day}T000000-{day * 16:08x}" for day in range(1, 4)] + ["part-by hand"]
    for part, name in zip(parts, names, strict=True):
        folder.file(part).rename(folder.file(name))

    second = merged(folder, names[:2])
    assert folder.published() == [second, names[2], names[3]]
    third = merged(folder, [second, names[3]])
    assert folder.published() == [names[2], third]
    last = merged(folder, [names[2], third])
    assert re.fullmatch("part-by hand-[0-9a-f]{8}-merged", last)


def test_ids_of_a_part_that_is_merged_meanwhile_are_read(folder: PartFolder):
    """By a planner that has listed it before."""
    parts = [written(folder, 1), written(folder, 2)]
    merged(folder, parts)

    assert folder.ids(parts[0]) == ["00001.jpg"]


def test_what_was_merged_twice_is_superseded_by_the_last(folder: PartFolder):
    first = [written(folder, 1), written(folder, 2)]
    second = [merged(folder, first), written(folder, 3)]
    last = merged(folder, second)

    assert folder.published() == [last]
    assert folder.look().superseded == dict.fromkeys([*first, *second], last)
    assert len(rows_of(folder)) == 3


def test_merged_part_that_was_not_retired_in_time_has_its_rows_once(folder: PartFolder):
    """Nor have those that it was merged of."""
    first = [written(folder, 1), written(folder, 2)]
    middle = merged(folder, first)
    kept = {part: folder.retired(part).read_bytes() for part in first}
    kept[middle] = folder.file(middle).read_bytes()
    last = merged(folder, [middle, written(folder, 3)])
    for part, content in kept.items():
        folder.file(part).write_bytes(content)

    assert folder.published() == [last]

    retire(folder)
    assert [path.name for path in folder.path.glob("part-*")] == [f"{last}.parquet"]


def test_a_listing_during_which_parts_are_merged_lacks_no_row(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    """It has passed the place of the merged part before that comes, and then the others go."""
    parts = [written(folder, 1), written(folder, 2)]
    merging = Merging(folder, parts)
    merging.write()
    listed = os.listdir

    def list_meanwhile(path: Path) -> list[str]:
        monkeypatch.setattr(os, "listdir", listed)
        merging.publish()
        return [name for name in listed(path) if merging.name not in name]

    monkeypatch.setattr(os, "listdir", list_meanwhile)

    assert folder.published() == [merging.name]


def test_merged_part_that_a_disk_lists_and_has_not_is_told(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    listed = os.listdir
    monkeypatch.setattr(superseding, "TRIES", 3)
    monkeypatch.setattr(
        os, "listdir", lambda path: [*listed(path), "part-x-0123abcd-merged.parquet"]
    )
    written(folder, 1)

    with pytest.raises(StorageBlocked, match="books lists merged parts that are not there"):
        folder.look()


def test_what_a_merged_part_replaces_is_read_once(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    name = merged(folder, [written(folder, 1), written(folder, 2)])
    folder.published()
    monkeypatch.delattr(superseding, "read_replaced")

    assert folder.published() == [name]


@pytest.mark.parametrize("content", [b"", b"no Parquet", b"PAR1" + bytes(9) + b"PAR1"])
def test_merged_part_that_is_torn_supersedes_nothing(folder: PartFolder, content: bytes):
    part = written(folder, 1)
    folder.file("part-x-merged").write_bytes(content)
    folder.file("part-y-merged").symlink_to("nowhere")

    assert folder.published() == [part, "part-x-merged", "part-y-merged"]


def test_part_of_somebody_elses_that_is_called_merged_supersedes_nothing(folder: PartFolder):
    part = written(folder, 1)
    table = pq.read_table(folder.file(part)).replace_schema_metadata({MERGED: b'["x"]'})
    pq.write_table(table, folder.file("part-x-merged"))

    assert folder.published() == [part, "part-x-merged"]


def test_merged_parts_that_are_recorded_still_count_as_there(folder: PartFolder):
    """As by a Redis that comes up after its parts were merged without it."""
    parts = [written(folder, 1), written(folder, 2)]
    name = merged(folder, parts)

    assert finished_parts(folder, parts) == [name]
    assert take_inventory(folder).superseded == set(parts)


def test_groups_take_up_to_so_many_rows_in_the_order_of_names(folder: PartFolder):
    parts = sorted(written(folder, *range(size)) for size in (3, 3, 3, 3, 3))

    assert grouped(folder, 9) == [parts[:3], parts[3:]]
    assert grouped(folder, 8) == [parts[:2], parts[2:4]]


def test_parts_of_half_the_rows_are_left_alone(folder: PartFolder):
    small = [written(folder, 1), written(folder, 2)]
    written(folder, 3, 4, 5)

    assert grouped(folder, 6) == [sorted(small)]


def test_groups_are_bounded_in_bytes_and_in_parts(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    parts = sorted(written(folder, number) for number in range(5))
    size = measure(folder, parts[0]).bytes
    monkeypatch.setattr(mergings, "MOST_BYTES", 3 * size + size // 2)
    assert [len(group) for group in grouped(folder, 100)] == [3, 2]

    monkeypatch.setattr(mergings, "MOST_PARTS", 2)
    assert [len(group) for group in grouped(folder, 100)] == [2, 2]


@pytest.mark.parametrize("length", [1000, 6000])
def test_texts_that_a_file_has_once_count_for_each_row(folder: PartFolder, length: int):
    """A footer tells the longest only of those that are not long."""
    folder.path.mkdir()
    texts = {"id": ["a"] * 500, "shard": ["s"] * 500, "prompts": [["x" * length]] * 500}
    pq.write_table(pa.table(texts), folder.file("part-x"))
    pq.write_table(pa.table(texts | {"prompts": [[None]] * 500}), folder.file("part-y"))

    assert measure(folder, "part-x").bytes > 500 * length
    assert measure(folder, "part-y").bytes < 5000


def test_what_is_the_same_for_many_parts_is_in_memory_once(folder: PartFolder):
    one, other = (measure(folder, written(folder, number)) for number in range(2))

    assert one.kind is other.kind


def test_parts_of_other_columns_are_not_merged_with_one_another(folder: PartFolder):
    earlier = ColumnSchema(("captions",), {"title": "string"})
    old = sorted(written(folder, number, agreed=earlier) for number in (1, 2))
    new = sorted(written(folder, number) for number in (3, 4))

    assert sorted(grouped(folder, 100)) == sorted([old, new])


def test_part_that_cannot_be_read_is_named_and_left_alone(folder: PartFolder):
    parts = [written(folder, number) for number in range(3)]
    torn = folder.file(parts[1])
    content = bytearray(torn.read_bytes())
    content[4:200] = bytes(196)
    torn.write_bytes(content)  # with its footer

    merging = Merging(folder, parts)
    [said] = merging.write()
    merging.publish()

    assert str(torn) in said
    assert merging.parts == (parts[0], parts[2])
    assert folder.published() == sorted([parts[1], merging.name])


def test_file_without_our_columns_is_no_part(folder: PartFolder):
    folder.path.mkdir()
    pq.write_table(pa.table({"id": ["1"]}), folder.file("part-x"))

    with pytest.raises(StorageUnfit, match=r"part-x\.parquet is no part"):
        measure(folder, "part-x")


def abandoned(folder: PartFolder, parts: list[str]) -> str:
    merging = Merging(folder, parts)
    merging.write()
    merging.close()
    return merging.name


def test_merged_part_of_a_dead_writer_is_published_where_it_fits(folder: PartFolder):
    parts = [written(folder, 1), written(folder, 2)]
    name = abandoned(folder, parts)

    finish(folder)

    assert folder.published() == [name]


@pytest.mark.parametrize("how", ["torn", "merged by another", "changed"])
def test_merged_part_of_a_dead_writer_is_deleted_where_it_does_not_fit(
    folder: PartFolder, how: str
):
    parts = [written(folder, 1), written(folder, 2)]
    name = abandoned(folder, parts)
    if how == "torn":
        folder.temporary(name).write_bytes(folder.temporary(name).read_bytes()[:-9])
    elif how == "merged by another":
        merged(folder, parts)
    else:
        written_again = pq.read_table(folder.file(parts[0])).slice(0, 0)
        pq.write_table(written_again, folder.file(parts[0]))
    before = rows_of(folder)

    finish(folder)

    assert folder.unpublished() == []
    assert rows_of(folder) == before


def test_merged_part_of_a_dead_writer_is_deleted_where_a_part_is_torn_since(folder: PartFolder):
    parts = [written(folder, 1), written(folder, 2)]
    abandoned(folder, parts)
    folder.file(parts[0]).write_bytes(b"PAR1")

    finish(folder)

    assert folder.unpublished() == []
    assert folder.published() == sorted(parts)
