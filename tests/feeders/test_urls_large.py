"""A table of many rows is planned in the memory of a few."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import SourceOptions
from feeders.urls import UrlsSource
from tests.feeders.planned import plan

COUNT = 100_000
MOST = 4 << 20  # bytes; the table has three times as many


@pytest.mark.parametrize(
    ("shard", "write"), [("t.parquet", pq.write_table), ("t.csv", pyarrow.csv.write_csv)]
)
def test_a_large_table_is_planned_in_little_memory(
    tmp_path: Path, shard: str, write: Callable[[pa.Table, str], None]
):
    urls = [f"https://example.com/{n:08}/{'x' * 80}.jpg" for n in range(COUNT)]
    write(pa.table({"url": urls}), str(tmp_path / shard))
    del urls

    planned = plan(UrlsSource(SourceOptions(str(tmp_path / shard))), shard)

    assert planned.samples == COUNT
    assert planned.python < MOST
    assert planned.arrow < MOST
