"""The rows of finished parts: each sample once, from any mark on; what is amiss is told."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.dataset import reader as reading
from caption_flow.dataset import repeats
from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.reader import Mark, Reader
from caption_flow.dataset.snapshot import Snapshot
from caption_flow.errors import StorageUnfit

Row = dict[str, Any]
TYPES = {
    "id": pa.string(),
    "settings_version": pa.int32(),
    "captioned_at": pa.timestamp("us", tz="UTC"),
    "value": pa.int64(),
}
times = st.none() | st.integers(0, 3).map(lambda s: datetime(2026, 1, 1, 0, 0, s, tzinfo=UTC))
rows = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.none() | st.integers(1, 3), times), max_size=9
)
parts = st.lists(rows, min_size=1, max_size=4)
unhurried = settings(max_examples=40, deadline=None)


def written(folder: Path, name: str, table: pa.Table, *, group: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"part-{name}.parquet"
    pq.write_table(table, path, row_group_size=group)
    return path


def opened(folder: Path) -> Reader:
    place = PartFolder(folder.parent, folder.name)
    return Reader(Snapshot(place, tuple(place.published())))


def filled(folder: Path, some: list[list[tuple[Any, ...]]]) -> list[list[Row]]:
    """Write parts with these rows, numbered in their order."""
    number = iter(range(1000))
    told = [[dict(zip(TYPES, (*row, next(number)), strict=True)) for row in part] for part in some]
    for place, part in enumerate(told):
        written(folder, str(place), pa.Table.from_pylist(part, schema=pa.schema(TYPES)))
    return told


def read(reader: Reader, **more: Any) -> list[Row]:
    return [row for batch in reader.batches(**more) for row in batch.rows.to_pylist()]


def best(told: list[list[Row]]) -> list[Row]:
    """Plain Python: of each sample the row of the latest settings, then the latest, then last."""
    found: dict[str, Row] = {}
    for row in (row for part in told for row in part):
        other = found.get(row["id"])
        if other is None or rank(row) >= rank(other):
            found[row["id"]] = row
    return sorted(found.values(), key=lambda row: row["value"])


def rank(row: Row) -> tuple[int, float]:
    at = row["captioned_at"]
    return row["settings_version"] or -1, at.timestamp() if at else -1


@unhurried
@given(parts)
def test_each_sample_is_given_once_by_its_best_row(
    tmp_path_factory: pytest.TempPathFactory, some: list[list[tuple[Any, ...]]]
):
    folder = tmp_path_factory.mktemp("rows") / "job"
    told = filled(folder, some)
    reader = opened(folder)

    assert read(reader) == best(told)
    assert reader.rows == len(best(told))
    assert reader.repeated == sum(map(len, told)) - reader.rows


@unhurried
@given(parts, st.integers(1, 4))
def test_rows_after_any_mark_are_the_rest_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, some: list[list[tuple[Any, ...]]], size: int
):
    folder = tmp_path_factory.mktemp("marks") / "job"
    filled(folder, some)
    reader = opened(folder)
    whole = read(reader)
    got: list[Row] = []
    for batch in reader.batches(size=size):
        got += batch.rows.to_pylist()
        assert got + read(reader, start=batch.end, size=3) == whole
    assert got == whole
    values = [row["value"] for row in whole]
    for place, part in enumerate(some):
        before = sum(map(len, some[:place]))
        for row in range(len(part) + 2):
            rest = read(reader, start=Mark(place, row))
            assert [r["value"] for r in rest] == [
                v for v in values if v >= before + min(row, len(part))
            ]


@pytest.mark.parametrize("words", [1, 5, 1_000_000])
def test_repeats_are_found_in_any_number_of_files(
    words: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(repeats, "_WORDS_PER_FILE", words)
    monkeypatch.setattr(reading, "IDS", 4)
    some = [[(f"{n * 7 % 30}", n % 3, None) for n in range(k, k + 20)] for k in (0, 5, 40)]
    told = filled(tmp_path / "job", some)

    assert read(opened(tmp_path / "job")) == best(told)


def test_samples_whose_words_meet_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Words only raise a suspicion."""
    monkeypatch.setattr(reading, "words", lambda keys: repeats.words(["same"] * len(keys)))
    monkeypatch.setattr(repeats, "words", lambda keys, of=repeats.words: of(["same"] * len(keys)))
    told = filled(tmp_path / "job", [[("a", 1, None), ("b", 1, None)], [("a", 2, None)]])

    assert read(opened(tmp_path / "job")) == best(told)


def test_columns_of_all_parts_come_together(tmp_path: Path):
    """What one lacks is null there; numbers and texts take the wider type; `extra` stays last."""
    one = pa.table({"id": ["1"], "year": pa.array([1], pa.int32()), "extra": ["{}"]})
    two = pa.table(
        {
            "id": pa.array(["2"], pa.large_string()),
            "own": [[1.5]],
            "year": pa.array([2**40], pa.int64()),
        }
    )
    written(tmp_path / "job", "0", one)
    written(tmp_path / "job", "1", two)
    reader = opened(tmp_path / "job")

    assert reader.schema.names == ["id", "year", "own", "extra"]
    assert read(reader) == [
        {"id": "1", "year": 1, "own": None, "extra": "{}"},
        {"id": "2", "year": 2**40, "own": [1.5], "extra": None},
    ]
    assert read(reader, columns=["own", "id"])[1] == {"own": [1.5], "id": "2"}


def agreed(table: pa.Table, columns: ColumnSchema) -> pa.Table:
    return table.replace_schema_metadata({AGREED: columns.encode()})


@pytest.mark.parametrize("turned", [False, True])
def test_outputs_and_json_of_all_jobs_are_known(turned: bool, tmp_path: Path):
    """Texts are JSON only where all jobs say so that have the column."""
    one = pa.table({"id": ["1"], "captions": [["x"]], "info": ["{}"], "mixed": ["5"]})
    two = pa.table({"id": ["2"], "tags": [["y"]], "more": ["[]"], "mixed": ["6"]})
    parts = [
        agreed(one, infer(["captions"], [{"info": {}, "mixed": {}}])),
        agreed(two, infer(["tags"], [{"more": [[]], "mixed": "text"}])),
        pa.table({"id": ["3"], "captions": [["of nobody knows whom"]]}),
    ]
    for number, part in enumerate(reversed(parts) if turned else parts):
        written(tmp_path / "job", str(number), part)
    shape = opened(tmp_path / "job").shape

    assert set(shape.outputs) == {"captions", "tags"}
    assert shape.json == {"info", "more"}


def test_jobs_with_the_same_columns_that_mean_others_are_told_apart(tmp_path: Path):
    table = pa.table({"id": ["1"], "captions": [["x"]], "tags": [["y"]]})
    written(tmp_path / "job", "0", agreed(table, infer(["captions"], [{"tags": ["y"]}])))
    written(tmp_path / "job", "1", agreed(table, infer(["captions", "tags"], [])))

    assert opened(tmp_path / "job").shape.outputs == ("captions", "tags")


ODD: dict[str, tuple[pa.Table, str]] = {
    "no id": (pa.table({"name": ["1"]}), "is no part: it has no column id of texts"),
    "numbers": (pa.table({"id": [1]}), "is no part: it has no column id of texts"),
    "nulls": (pa.table({"id": ["1", None]}), "is no part: it has rows without an id"),
    "two ids": (
        pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["id", "id"]),
        "it has no column id of texts",
    ),
    "two columns": (
        pa.Table.from_arrays(
            [pa.array(["1"]), pa.array([2]), pa.array([3])], names=["id", "x", "x"]
        ),
        "has several columns of one name",
    ),
    "other types": (
        pa.table({"id": ["1"], "value": ["text"]}),
        "Field value has incompatible types: int64 vs string",
    ),
    "numbers that do not fit": (
        pa.table({"id": ["1"], "value": [0.5]}),
        "the column value is of the type int64, and does not fit that of the other parts, double",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_part_that_does_not_fit_is_told(what: str, tmp_path: Path):
    table, sentence = ODD[what]
    written(tmp_path / "job", "0", pa.table({"id": ["a"], "value": [2**53 + 1]}))
    odd = written(tmp_path / "job", "1", table)

    with pytest.raises(StorageUnfit) as refusal:
        read(opened(tmp_path / "job"))

    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith((str(odd), str(odd.with_name("part-0.parquet"))))


@pytest.mark.parametrize("column", ["settings_version", "captioned_at"])
def test_rank_that_has_no_order_counts_for_nothing(column: str, tmp_path: Path):
    written(tmp_path / "job", "0", pa.table({"id": ["1", "1"], column: ["z", "a"]}))

    assert read(opened(tmp_path / "job")) == [{"id": "1", column: "a"}]


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_torn_part_is_told(keep: int, tmp_path: Path):
    path = written(tmp_path / "job", "0", pa.table({"id": [f"{n}" for n in range(50)]}))
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(StorageUnfit, match=r"part-0\.parquet cannot be read .* Put a sound copy"):
        opened(tmp_path / "job")


def test_part_that_is_damaged_in_its_middle_is_told(tmp_path: Path):
    table = pa.table({"id": [f"{n}" for n in range(500)]})
    path = written(tmp_path / "job", "0", table, group=100)
    damaged = bytearray(path.read_bytes())
    damaged[4:-600] = b"\xff" * len(damaged[4:-600])
    path.write_bytes(damaged)

    with pytest.raises(StorageUnfit, match=r"part-0\.parquet cannot be read"):
        read(opened(tmp_path / "job"))


def replaced(path: Path) -> None:
    other = written(path.parent / "new", "0", pa.table({"id": ["other"] * 7}))
    other.rename(path)


@pytest.mark.parametrize("change", [replaced, Path.unlink])
def test_part_that_changes_while_it_is_read_is_told(
    change: Callable[[Path], object], tmp_path: Path
):
    paths = [
        written(tmp_path / "job", str(n), pa.table({"id": [f"{n}.{k}" for k in range(9)]}))
        for n in range(3)
    ]
    reader = opened(tmp_path / "job")
    batches = reader.batches(size=4)
    next(batches)
    change(paths[1])

    with pytest.raises(StorageUnfit) as refusal:
        list(batches)

    assert "part-1" in str(refusal.value)
    assert str(refusal.value).endswith("Run this again.")


def test_part_with_no_rows_and_no_parts_have_none(tmp_path: Path):
    written(tmp_path / "job", "0", pa.table({"id": pa.array([], pa.string())}))

    assert read(opened(tmp_path / "job")) == []
    assert read(opened(tmp_path / "other")) == []


def test_columns_with_dots_in_their_names_are_no_others(tmp_path: Path):
    table = pa.table({"id": ["1"], "a": [{"b": 1}], "a.b": [2], "list.element": [3]})
    written(tmp_path / "job", "0", table)
    reader = opened(tmp_path / "job")

    assert read(reader, columns=["id", "a"]) == [{"id": "1", "a": {"b": 1}}]
    assert read(reader, columns=["id", "a.b"]) == [{"id": "1", "a.b": 2}]
    assert read(reader, columns=["list.element"]) == [{"list.element": 3}]


@pytest.mark.parametrize("when", ["before it is looked at", "after", "while it is read"])
def test_part_that_is_merged_meanwhile_is_read_to_the_end(when: str, tmp_path: Path):
    """As merging does: what others listed stays under a hidden name while they hold the lock."""
    folder = tmp_path / "job"
    told = filled(folder, [[(f"{part}{n}", 1, None) for n in range(9)] for part in range(2)])
    place = PartFolder(folder.parent, folder.name)
    parts = Snapshot(place, tuple(place.published()))

    def merge() -> None:
        for name in parts.names:
            place.file(name).rename(place.retired(name))

    if when.startswith("before"):
        merge()
    reader = Reader(parts)
    if when == "after":
        merge()
    batches = reader.batches(size=4)
    got = next(batches).rows.to_pylist()
    if when.startswith("while"):
        merge()
    got += [row for batch in batches for row in batch.rows.to_pylist()]

    assert got == best(told)
