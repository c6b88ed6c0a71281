"""Whatever program wrote a table, and in whichever format: rows are found, and found again."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import ShardChanged
from caption_flow.errors import SourceError
from feeders.tables import BadRow, Table, open_table
from tests.feeders import tables
from tests.feeders.tables import Disk, column, listed, table

COUNT = 40
ROWS = [
    {"url": f"https://example.com/{n}.jpg", "text": f'a "cat",\nno. {n}\t- 猫', "n": str(n)}
    for n in range(COUNT)
]

WRITERS = [
    ("t.parquet", tables.by_arrow),
    ("t.parquet", tables.by_pandas),
    ("t.parquet", tables.by_polars),
    ("t.arrow", tables.by_arrow_stream),
    ("t.arrow", tables.by_arrow_file),
    ("t.arrow", tables.by_polars),
    ("t.arrow", tables.by_datasets),
    ("t.csv", tables.by_csv),
    ("t.tsv", tables.by_csv),
    ("t.csv", tables.by_pandas),
    ("t.csv", tables.by_polars),
    ("t.jsonl", tables.by_pandas),
    ("t.ndjson", tables.by_polars),
]


@pytest.fixture(params=WRITERS, ids=lambda pair: f"{pair[1].__name__}-{pair[0]}")
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    name, write = request.param
    return table(write(tmp_path / name, ROWS))


def test_columns_are_told(made: Table):
    assert made.columns == ("url", "text", "n")


def test_all_rows_are_listed_with_their_values(made: Table):
    assert [row.number for row in made.rows("text")] == list(range(COUNT))
    assert column(made, "text") == [row["text"] for row in ROWS]


def test_places_do_not_depend_on_the_column(made: Table):
    assert listed(made) == listed(made, "url")


def test_a_listing_goes_on_after_any_row(made: Table):
    whole = listed(made, "url")

    for at, last in enumerate(whole):
        assert listed(made, "url", last) == whole[at + 1 :]
        assert listed(made, None, (last[0], "")) == whole[at + 1 :]


def test_rows_are_read_in_the_order_asked(made: Table):
    wanted = random.Random(1).choices(listed(made), k=60)

    assert list(made.read(wanted, None)) == [ROWS[number] for number, _ in wanted]


def test_rows_are_found_without_their_places(made: Table):
    assert list(made.read([(31, ""), (3, "")], ["n"])) == [{"n": "31"}, {"n": "3"}]


def test_rows_that_are_not_there_are_told(made: Table):
    last = listed(made)[-1]
    found = made.read([(COUNT, ""), (-1, ""), (10**18, str(10**18)), last], ["n"])

    assert [isinstance(row, BadRow) for row in found] == [True, True, True, False]


def test_a_row_planned_that_is_gone_means_a_change(made: Table):
    with pytest.raises(ShardChanged, match=r"not there|no row"):
        listed(made, None, (COUNT, ""))


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    made = table(tables.by_arrow(tmp_path / "t.parquet", ROWS))

    with pytest.raises(SourceError, match=r't.parquet has no column "nope". It has: url, text, n.'):
        column(made, "nope")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.csv", "t.jsonl", "t.txt"])
def test_a_network_in_trouble_is_no_damage(tmp_path: Path, name: str):
    class Unreachable(Disk):
        broken = False

        def read(self, start: int, length: int) -> bytes:
            if self.broken:
                raise SourceError("no answer")
            return super().read(start, length)

    write: Callable[..., Path] = {
        ".parquet": tables.by_arrow, ".arrow": tables.by_arrow_stream, ".csv": tables.by_csv,
        ".jsonl": tables.by_pandas, ".txt": lambda path, _: tables.text(path, "a\nb\n"),
    }[Path(name).suffix]  # fmt: skip
    file = Unreachable(write(tmp_path / name, ROWS))
    made = open_table(file)
    file.broken = True

    with pytest.raises(SourceError, match="no answer"):
        list(made.read([(0, "")], None))
    file.broken = False
    assert len(list(made.read([(0, "")], None))) == 1


def test_a_table_that_is_packed_is_refused_with_what_to_do(tmp_path: Path):
    with pytest.raises(SourceError, match="Unpack it, or write it as Parquet"):
        table(tables.text(tmp_path / "t.csv.gz", ""))


def test_what_is_no_table_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match=r"t\.xlsx is no table"):
        table(tables.text(tmp_path / "t.xlsx", ""))


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.csv"])
def test_several_threads_read_one_table(tmp_path: Path, name: str):
    write = {"t.parquet": tables.by_arrow, "t.arrow": tables.by_arrow_file}.get(name, tables.by_csv)
    made = table(write(tmp_path / name, ROWS * 5))
    places = listed(made)

    def some(first: int) -> list[Any]:
        return list(made.read(places[first : first + 20], None))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(some, [*range(0, 200, 20)] * 5))

    assert found == [(ROWS * 5)[first : first + 20] for first in range(0, 200, 20)] * 5


def test_nothing_is_held_of_row_groups_that_were_read_to_their_end(tmp_path: Path):
    path = tmp_path / "images.parquet"
    cells = [number.to_bytes(2, "big") * 50_000 for number in range(40)]
    pq.write_table(pa.table({"image": cells}), path, row_group_size=10, compression="none")
    images = table(path)
    before = pa.total_allocated_bytes()

    for row in images.read([(number, "") for number in range(40)], None):
        assert len(row["image"]) == 100_000
    del row

    assert pa.total_allocated_bytes() - before < 100_000
