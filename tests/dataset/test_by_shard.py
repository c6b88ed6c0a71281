"""Rows shard by shard, though they lie scattered over the parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.by_shard import ByShard
from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.reader import Mark, Reader
from caption_flow.dataset.snapshot import Snapshot, snapshot
from tests.export.shard_makers import SHARDS, rows_of_tars, scatter
from tests.view.parts import numbered, part_name, write_part


def reader(folder: Path) -> Reader:
    with snapshot(PartFolder(folder.parent, folder.name)) as parts:
        return Reader(Snapshot(parts.folder, parts.names))


def ids(by_shard: ByShard, start: Mark | None = None, size: int = 7) -> list[str]:
    batches = by_shard.batches(["id", "captions"], start=start, size=size)
    return [id_ for batch in batches for id_ in batch.rows.column("id").to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scatter(tmp_path / "job", rows_of_tars())


def test_rows_come_shard_by_shard_in_the_order_of_their_ids(folder: Path):
    by_shard = ByShard(reader(folder))
    wanted = [(row["shard"], row["id"], row["captions"]) for row in rows_of_tars()]

    found = [
        tuple(row.values())
        for batch in by_shard.batches(["shard", "id", "captions"], size=7)
        for row in batch.rows.to_pylist()
    ]

    assert found == sorted(wanted)
    assert by_shard.shards == tuple(sorted(SHARDS))


def test_a_mark_of_any_batch_leads_to_the_rows_after_it(folder: Path):
    by_shard = ByShard(reader(folder))
    whole = ids(by_shard)
    passed = 0
    for batch in by_shard.batches(["id"], size=7):
        passed += batch.rows.num_rows
        assert ids(by_shard, batch.end) == whole[passed:]


def test_a_sample_with_several_rows_comes_once_by_its_latest_settings(folder: Path):
    again = [row | {"settings_version": 2, "captions": ["newer"]} for row in rows_of_tars()[:5]]
    write_part(folder, part_name(9), again)

    by_shard = ByShard(reader(folder))
    rows = [row for batch in by_shard.batches() for row in batch.rows.to_pylist()]

    assert len(rows) == len(rows_of_tars())
    assert [row["id"] for row in rows if row["captions"] == ["newer"]] == [r["id"] for r in again]


def test_of_a_part_only_the_row_groups_of_a_shard_are_read_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_part(tmp_path / "job", part_name(0), numbered(0, 2 * ROWS_PER_GROUP + 10))
    read: list[Sequence[int]] = []
    by_shard = ByShard(reader(tmp_path / "job"))
    groups = Reader.groups

    def watched(self: Reader, place: int, numbers: Any, columns: Any) -> Any:
        read.append(numbers)
        return groups(self, place, numbers, columns)

    monkeypatch.setattr(Reader, "groups", watched)
    rows = ids(by_shard, size=1000)

    assert len(rows) == 2 * ROWS_PER_GROUP + 10
    assert read == [[0], [1], [2]]
