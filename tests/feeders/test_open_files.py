"""Shards that have been read are let go of: at once, not when Python looks for rings."""

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import SourceOptions, open_source
from tests.feeders.tars import pictures, write

SHARDS, ROWS = 30, 20


@pytest.fixture(autouse=True)
def _no_rings_are_looked_for() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _parquet(path: Path, column: str, cells: list[object]) -> None:
    pq.write_table(pa.table({column: cells}), path.with_suffix(".parquet"), row_group_size=7)


def _arrow(path: Path, column: str, cells: list[object]) -> None:
    table = pa.table({column: cells})
    with pa.ipc.new_stream(path.with_suffix(".arrow"), table.schema) as out:
        out.write_table(table, max_chunksize=7)


def _csv(path: Path, column: str, cells: list[object]) -> None:
    path.with_suffix(".csv").write_text("\n".join([column, *map(str, cells)]))


def _jsonl(path: Path, column: str, cells: list[object]) -> None:
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps({column: c}) for c in cells))


def _tar(path: Path, *_: object) -> None:
    write(path.with_suffix(".tar"), pictures(ROWS, txt="t"))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


URLS = [f"https://example.org/{n}.jpg" for n in range(ROWS)]
IMAGES = [bytes([n]) * 1000 for n in range(ROWS)]


@pytest.mark.parametrize(
    ("kind", "make", "column", "cells"),
    [
        ("webdataset", _tar, "", []),
        ("urls", _csv, "image_url", URLS),
        ("urls", _jsonl, "image_url", URLS),
        ("urls", _parquet, "image_url", URLS),
        ("huggingface", _parquet, "image", IMAGES),
        ("huggingface", _arrow, "image", IMAGES),
    ],
)
def test_no_file_of_a_shard_that_was_read_stays_open(
    tmp_path: Path, kind: str, make: Callable[..., None], column: str, cells: list[object]
):
    (tmp_path / "set").mkdir()
    for number in range(SHARDS):
        make(tmp_path / "set" / f"{number:03}", column, cells)
    where, cache = str(tmp_path / "set"), str(tmp_path / "cache")
    made = open_source(kind, SourceOptions(path=where, cache_dir=cache))
    before = _open_files()

    for shard in made.shards():
        names = list(made.names(shard, None))
        assert [raw.error for raw in made.samples(shard, names[3:])] == [""] * (ROWS - 3)
    assert _open_files() <= before + 10
