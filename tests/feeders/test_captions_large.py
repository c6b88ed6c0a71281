"""A job of many captions is planned in the memory of a few."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeders import ordered
from tests.feeders.captioned import source
from tests.feeders.planned import plan

COUNT = 50_000
MOST = 4 << 20  # bytes; the names and places alone have twice as many


def test_many_captions_of_one_shard_are_planned_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ordered, "RUN", 2000)
    (tmp_path / "first").mkdir()
    numbers = range(COUNT)
    rows = {
        "id": [f"t.csv/{n:08}-{'x' * 60}" for n in numbers],
        "shard": ["t.csv"] * COUNT,
        "source": [f"https://example.com/{n}.jpg" for n in numbers],
        "captions": [["text"]] * COUNT,
    }
    pq.write_table(pa.table(rows), tmp_path / "first" / "part-1.parquet", row_group_size=5000)
    del rows

    planned = plan(source(tmp_path / "first"), "t.csv")

    assert planned.samples == COUNT
    assert planned.python < MOST
    assert planned.arrow < MOST
