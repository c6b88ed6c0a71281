"""Readers: a part opens in what people use, with equal values and one schema."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.tail import newest
from tests.made import caption

COLUMNS: list[dict[str, Any]] = [
    {"title": "one", "n": 1, "score": 0.5, "tags": ["a", "b"], "box": [1.5, 2], "info": {"k": 1}},
    {"title": "two", "n": 2, "ok": True, "id": "theirs", "none": None},
    {"title": 3, "new": [1, {"deep": "\0"}], "ok": False},
]
SHOWN = ("id", "width", "captions", "title", "n", "score", "tags", "box", "info", "ok", "column_id")


def as_lists(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as plain values, whatever a reader makes of lists and nulls."""
    return [{name: _plain(row[name]) for name in (*SHOWN, "extra")} for row in rows]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    """Two parts of one job, and one that is not finished."""
    folder = PartFolder(tmp_path, "books")
    agreed = infer(["captions"], COLUMNS[:2])
    for numbers in ((0, 1), (2,)):
        part = folder.open(agreed)
        part.append([caption(n, columns=COLUMNS[n]) for n in numbers])
        part.prepare()
        part.publish()
    unfinished = folder.open(agreed)
    unfinished.append([caption(9)])
    unfinished.prepare()
    unfinished.abandon()
    return folder


@pytest.fixture
def wanted(folder: PartFolder) -> list[dict[str, Any]]:
    """The rows as Arrow has them, in the order of their ids."""
    files = [pq.read_table(folder.file(part)).to_pylist() for part in folder.published()]
    rows = as_lists([row for file in files for row in file])
    return sorted(rows, key=lambda row: row["id"])


def pandas_rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pd.read_parquet(path).to_dict("records")
    return rows


def polars_rows(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path / "*.parquet").to_dicts()


def duckdb_rows(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as database:
        # Through Arrow: as Python values, a time with a zone would need yet another package.
        answer = database.sql(f"SELECT * FROM '{path}/*.parquet'").to_arrow_table()
        rows: list[dict[str, Any]] = answer.to_pylist()
        return rows


@pytest.mark.parametrize("read", [pandas_rows, polars_rows, duckdb_rows])
def test_a_reader_finds_equal_values(
    folder: PartFolder,
    wanted: list[dict[str, Any]],
    read: Callable[[Path], list[dict[str, Any]]],
):
    rows = as_lists(read(folder.path))

    assert sorted(rows, key=lambda row: row["id"]) == wanted


LOAD = """
import sys
import msgspec
from datasets import load_dataset

data = load_dataset("parquet", data_files=sys.argv[1], split="train")
columns = sys.argv[2].split(",")
rows = [{name: row[name] for name in columns} for row in data]
sys.stdout.buffer.write(msgspec.json.encode(rows))
"""


def test_datasets_finds_equal_values(
    folder: PartFolder, wanted: list[dict[str, Any]], tmp_path: Path
):
    # A process of its own: the library reads where its cache is once, and warns of itself.
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOAD, f"{folder.path}/*.parquet", ",".join((*SHOWN, "extra"))]
    done = subprocess.run(command, env=environ, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()
    rows = msgspec.json.decode(done.stdout)
    assert sorted(rows, key=lambda row: row["id"]) == wanted


def test_the_parts_of_a_job_have_one_schema(folder: PartFolder):
    one, other = (pq.read_schema(folder.file(part)) for part in folder.published())

    assert one.equals(other, check_metadata=True)


def test_an_unfinished_part_is_hidden_from_readers(folder: PartFolder):
    ids = [row["id"] for row in pandas_rows(folder.path)]

    assert sorted(ids) == ["00000.jpg", "00001.jpg", "00002.jpg"]


def test_the_agreed_columns_are_read_from_a_part(folder: PartFolder):
    agreed = folder.agreed()

    assert agreed == infer(["captions"], COLUMNS[:2])


def test_a_folder_without_parts_has_agreed_on_nothing(tmp_path: Path):
    assert PartFolder(tmp_path, "none").agreed() is None


def test_a_part_of_somebody_else_has_agreed_on_nothing(folder: PartFolder, tmp_path: Path):
    foreign = PartFolder(tmp_path, "foreign")
    foreign.path.mkdir()
    table = pq.read_table(folder.file(folder.published()[0])).replace_schema_metadata()
    pq.write_table(table, foreign.file("part-0"))

    assert foreign.agreed() is None


def test_the_newest_rows_are_shown_with_all_their_texts(folder: PartFolder):
    last = PartFolder(folder.path.parent, "newest")
    part = last.open(ColumnSchema(("captions", "titles")))
    part.append([caption(n, texts={"captions": ["c"], "titles": ["t", "u"]}) for n in range(3)])
    part.prepare()
    part.publish()

    assert newest(last, 2) == [
        ("00000.jpg", ["c", "t", "u"]),
        ("00001.jpg", ["c", "t", "u"]),
    ]
