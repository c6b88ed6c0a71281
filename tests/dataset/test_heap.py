"""Heap: rows of many tables are given in one order."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from caption_flow.dataset import heap as heaps
from caption_flow.dataset.heap import Heap


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaps, "PIECE_BYTES", 1000)


SCHEMA = pa.schema({"shard": pa.string(), "id": pa.string(), "texts": pa.list_(pa.string())})


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    """Measures what is in memory from now on."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool := pa.proxy_memory_pool(before))
    yield pool
    pa.set_memory_pool(before)


@pytest.mark.parametrize("sizes", [[40] * 6, [0, 100, 0, 0, 3, 250], [1], [0, 0]])
def test_rows_of_all_tables_are_given_in_order(sizes: list[int]):
    heap, rows = Heap(), list[dict[str, object]]()
    for table, size in enumerate(sizes):
        some = [
            {"shard": f"s{number % 3}", "id": f"{number:03}-{table}", "texts": [f"no. {number}"]}
            for number in range(size)
        ]
        heap.add(pa.Table.from_pylist(some, schema=SCHEMA))
        rows += some

    given = [rows.to_pylist() for rows in heap.sorted(("shard", "id"), 7)]

    assert [row for some in given for row in some] == sorted(
        rows, key=lambda row: (row["shard"], row["id"])
    )
    assert all(len(some) == 7 for some in given[:-1])


def test_rows_are_in_memory_once(pool: pa.MemoryPool):
    heap = Heap()
    for table in range(20):
        texts = [f"{table} {number}".ljust(1000) for number in range(50)]
        heap.add(pa.table({"texts": texts, "id": [str(number) for number in range(50)]}))

    assert sum(rows.num_rows for rows in heap.sorted(("id",), 10)) == 1000

    assert pool.max_memory() < 1.3 * 20 * 50 * 1000
