"""Census: each row of the parts is counted once, under the chunk it came with."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.dataset import census as module
from caption_flow.dataset.census import Census, Double, Home, PartUnreadable
from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import PartFolder
from tests.made import caption

Row = tuple[str, str, str]  # id, shard, chunk

NAMES = st.text("abc", min_size=1, max_size=2)
ROWS = st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=12)


def write(folder: Path, part: str, rows: list[Row], group: int = 1000) -> Path:
    """A part with these rows and nothing else."""
    file = folder / f"{part}.parquet"
    names = ("id", "shard", "chunk")
    columns = {name: [row[number] for row in rows] for number, name in enumerate(names)}
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.table(columns, schema=schema), file, row_group_size=group)
    return file


def census_of(folder: Path, *parts: list[Row]) -> Census:
    census = Census()
    for number, rows in enumerate(parts):
        census.add(f"part-{number}", write(folder, f"part-{number}", rows))
    census.close()
    return census


def rows(*ids: str, shard: str = "s", chunk: str = "s:0") -> list[Row]:
    return [(id_, shard, chunk) for id_ in ids]


def test_samples_are_counted_by_their_chunk(tmp_path: Path):
    census = census_of(tmp_path, rows("a", "b"), [*rows("c"), ("d", "s", "s:1"), ("e", "t", "s:1")])

    assert census.rows == 5
    assert census.captioned() == {Home("s", "s:0"): 3, Home("s", "s:1"): 1, Home("t", "s:1"): 1}
    assert census.doubled() == {}


def test_what_sinks_write_is_read(tmp_path: Path):
    folder = PartFolder(tmp_path, "job")
    part = folder.open(ColumnSchema(("captions",)))
    part.append([caption(n) for n in range(3)])
    part.prepare()
    part.publish()
    census = Census()
    census.add(part.name, folder.file(part.name))
    census.close()

    assert census.captioned() == {Home(".", ".:0"): 3}
    assert census.unknown(["00002.jpg", "00003.jpg"]) == ["00003.jpg"]


def test_no_parts_have_no_samples(tmp_path: Path):
    census = census_of(tmp_path, [])

    assert census.captioned() == {}
    assert census.doubles(5) == []
    assert census.unknown(["a"]) == ["a"]


def test_sample_in_two_parts_is_one_that_is_doubled(tmp_path: Path):
    census = census_of(tmp_path, rows("a", "b"), rows("c", "b", chunk="s:9"))

    assert census.captioned() == {Home("s", "s:0"): 2, Home("s", "s:9"): 1}
    assert census.doubled() == {Home("s", "s:0"): 1}
    assert census.doubles(5) == [Double("b", ("part-0", "part-1"))]


def test_sample_twice_in_a_part_is_doubled(tmp_path: Path):
    census = census_of(tmp_path, rows("a"), rows("b", "c", "b"))

    assert census.doubled() == {Home("s", "s:0"): 1}
    assert census.doubles(5) == [Double("b", ("part-1", "part-1"))]


def test_only_some_doubles_are_named_and_all_counted(tmp_path: Path):
    ids = [f"{n}" for n in range(50)]
    census = census_of(tmp_path, rows(*ids), rows(*ids))

    assert len(census.doubles(7)) == 7
    assert census.doubled() == {Home("s", "s:0"): 50}


@settings(deadline=None, max_examples=50)
@given(parts=st.lists(ROWS, max_size=3))
def test_counts_are_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[Row]]
):
    census = census_of(tmp_path_factory.mktemp("parts"), *parts)
    homes: dict[str, list[Home]] = {}
    for id_, shard, chunk in (row for part in parts for row in part):
        homes.setdefault(id_, []).append(Home(shard, chunk))
    firsts = [found[0] for found in homes.values()]
    again = [found[0] for found in homes.values() if len(found) > 1]

    captioned = {home: count for home, count in census.captioned().items() if count}
    assert captioned == {home: firsts.count(home) for home in firsts}
    assert census.doubled() == {home: again.count(home) for home in again}
    assert {double.id for double in census.doubles(100)} == {
        id_ for id_, found in homes.items() if len(found) > 1
    }


def test_long_part_is_read_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_ROWS", 3)
    many = [(f"{n}", "s", f"s:{n // 4}") for n in range(11)]
    census = Census()
    census.add("long", write(tmp_path, "long", many, group=4))
    census.add("other", write(tmp_path, "other", rows("9")))
    census.close()

    assert census.captioned()[Home("s", "s:2")] == 3
    assert census.doubles(5) == [Double("9", ("long", "other"))]


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_torn_part_is_told_and_counts_for_nothing(tmp_path: Path, keep: int):
    torn = write(tmp_path, "torn", rows("a", "b"))
    torn.write_bytes(torn.read_bytes()[:keep])
    census = Census()

    with pytest.raises(PartUnreadable, match="torn"):
        census.add("torn", torn)

    census.close()
    assert census.rows == 0


def test_part_that_is_damaged_in_its_middle_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_ROWS", 2)
    damaged = write(tmp_path, "damaged", [*rows("a", "b"), (None, "s", "s:0")])
    census = Census()
    census.add("sound", write(tmp_path, "sound", rows("x", chunk="s:5")))

    with pytest.raises(PartUnreadable, match="lack id"):
        census.add("damaged", damaged)

    census.close()
    assert census.unknown(["a", "b", "x"]) == ["a", "b"]
    assert census.rows == 1


def test_parquet_of_something_else_is_no_part(tmp_path: Path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "else.parquet")

    with pytest.raises(PartUnreadable, match="no columns id, shard, chunk"):
        Census().add("else", tmp_path / "else.parquet")


def test_part_that_is_not_there_is_no_unreadable_one(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Census().add("none", tmp_path / "none.parquet")


def test_hundred_thousand_rows_take_few_bytes_each(tmp_path: Path):
    files = [
        write(
            tmp_path, f"{part}", [(f"{part}/{n:09}.jpg", "s", f"s:{part}") for n in range(10_000)]
        )
        for part in range(10)
    ]
    tracemalloc.start()
    try:
        census = Census()
        for file in files:
            census.add(file.stem, file)
        census.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert census.rows == 100_000
    assert peak < 100_000 * 30


def test_a_part_is_read_without_pandas_which_would_take_more_than_a_million_rows(tmp_path: Path):
    file = write(tmp_path, "part-1", rows("s/1", "s/2"))
    program = "import sys; from pathlib import Path; from caption_flow.dataset.census import Census"
    program += "; Census().add('part-1', Path(sys.argv[1])); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
    )

    assert "pandas" not in done.stdout.split()
