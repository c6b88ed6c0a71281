"""A table of many rows is planned in the memory of a few."""

import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import SourceOptions
from feeders.urls import UrlsSource

COUNT = 100_000
RUN = 1000  # what a planner takes at a time
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
    source = UrlsSource(SourceOptions(str(tmp_path / shard)))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        names = source.names(shard, None)
        planned, arrow = 0, 0
        while run := list(islice(names, RUN)):
            planned += len(run)
            arrow = max(arrow, pa.total_allocated_bytes() - before)
        _, python = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert planned == COUNT
    assert python < MOST
    assert arrow < MOST
