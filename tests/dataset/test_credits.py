"""Credits: what each contributor made, told by the rows of a part."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.credits import by_day, made_by, rows_by_shard, tally
from caption_flow.dataset.parts import PartFolder
from caption_flow.model import Caption, Credit
from tests.made import caption, outcome

DAY = 86_400.0


def made(number: int, *contributors: str, at: float = 0.0) -> Caption:
    """A row whose stages were made by these, one after the other."""
    outcomes = tuple(
        replace(outcome(stage=f"stage{n}"), contributor=name, captioned_at=at + n)
        for n, name in enumerate(contributors)
    )
    return replace(caption(number), outcomes=outcomes)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PartFolder]:
    return PartFolder(tmp_path, "job")


def written(folder: PartFolder, *captions: Caption, agreed: ColumnSchema | None = None) -> Path:
    part = folder.open(agreed or infer(("captions",), []))
    part.append(captions)
    part.prepare()
    part.publish()
    return folder.file(part.name)


def test_each_stage_is_its_makers(folder: PartFolder):
    file = written(folder, made(1, "ada", "bob"), made(2, "ada", "ada"), made(3, "", "bob"))

    assert tally(file) == {
        "ada": Credit(3, 15, 21),
        "bob": Credit(2, 10, 14),
        "": Credit(1, 5, 7),
    }


def test_row_names_who_made_each_stage(folder: PartFolder):
    file = written(folder, made(1, "ada", ""))

    [row] = pq.read_table(file).to_pylist()

    assert row["contributor"] is None  # of the last stage
    stages = [(stage["stage"], stage["contributor"]) for stage in row["stages"]]
    assert stages == [("stage0", "ada"), ("stage1", None)]
    assert sum(stage["output_tokens"] for stage in row["stages"]) == row["output_tokens"]


def test_row_of_a_job_that_has_no_such_column_is_the_last_ones(folder: PartFolder):
    file = written(folder, made(1, "ada", "bob"), agreed=ColumnSchema(("captions",)))

    assert tally(file) == {"bob": Credit(1, 10, 14)}
    [batch] = pq.ParquetFile(file).iter_batches()
    assert made_by(batch, "ada", 0.0).to_pylist() == [False]
    assert made_by(batch, "bob", 0.0).to_pylist() == [True]


def test_no_rows_are_nobodys(folder: PartFolder):
    assert tally(written(folder)) == {}


def test_days_are_those_of_utc(folder: PartFolder):
    rows = [made(1, "ada", at=DAY), made(2, "ada", at=2 * DAY), made(3, "ada", "bob", at=2 * DAY)]

    assert by_day(written(folder, *rows), "ada") == {"1970-01-02": 1, "1970-01-03": 2}


def test_rows_are_found_by_maker_and_time(folder: PartFolder):
    rows = [made(1, "ada", at=10), made(2, "bob", "ada", at=19), made(3, "bob", at=30)]
    file = written(folder, *rows)
    [batch] = pq.ParquetFile(file).iter_batches()

    assert made_by(batch, "ada", 0.0).to_pylist() == [True, True, False]
    assert made_by(batch, "ada", 20.0).to_pylist() == [False, True, False]
    assert made_by(batch, "nobody", 0.0).to_pylist() == [False, False, False]


def test_rows_are_counted_by_shard_where_they_name_one(tmp_path: Path):
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"id": range(4), "shard": ["a", None, "b", "a"]}), file)
    assert rows_by_shard(file) == {"a": 2, "b": 1}

    pq.write_table(pa.table({"id": range(4)}), file)
    assert rows_by_shard(file) == {}
