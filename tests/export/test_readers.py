"""Round trips: what is exported is read back by what people train with, text for text."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.export.command import exported, files
from tests.export.makers import awkward, plain, rows_of, sunk

Texts = Mapping[str, Any]  # of each sample, by its id


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = awkward()
    return sunk(tmp_path_factory.mktemp("made") / "photos", rows[:20], rows[20:])


@pytest.fixture(scope="module")
def made(parts: Path) -> Path:
    """Each format once, with samples that have no caption."""
    exported(parts, "--format", "all", "-o", parts.parent / "out", "--include-empty")
    for name in ("csv", "txt"):
        output = parts.parent / f"one-{name}"
        exported(parts, "--format", name, "-o", output, "--pick", "first", "--include-empty")
    return parts.parent


@pytest.fixture(scope="module")
def captions(parts: Path) -> Texts:
    return {row["id"]: row["captions"] for row in rows_of(parts)}


@pytest.fixture(scope="module")
def picked(captions: Texts) -> Texts:
    return {id_: next(filter(None, some or ()), None) for id_, some in captions.items()}


def hugging_face(kind: str, path: Path, cache: Path, **options: Any) -> Any:
    files = str(path / "*.parquet") if path.is_dir() else str(path)
    return datasets.load_dataset(
        kind, data_files=files, split="train", cache_dir=str(cache), **options
    )


def listed(rows: Any, column: str) -> Texts:
    """Captions by id, whatever a reader makes of lists."""
    told = [(row["id"], row[column]) for row in rows]
    assert len(told) == len(dict(told))
    return {i: list(some) if hasattr(some, "__len__") else None for i, some in told}


LINES: Mapping[str, Callable[[Path, Path], Any]] = {
    "json": lambda path, _: map(json.loads, path.read_text("utf-8").split("\n")[:-1]),
    "pandas": lambda path, _: pd.read_json(path, lines=True).to_dict("records"),
    "polars": lambda path, _: pl.read_ndjson(path).to_dicts(),
    "duckdb": lambda path, _: arrow(f"SELECT id, captions FROM read_json('{path}')"),
    "datasets": lambda path, cache: hugging_face("json", path, cache),
}
TABLES: Mapping[str, Callable[[Path, Path], Any]] = {
    "pandas": lambda path, _: pd.read_parquet(path).to_dict("records"),
    "polars": lambda path, _: pl.read_parquet(path / "*.parquet").to_dicts(),
    "duckdb": lambda path, _: arrow(f"SELECT id, captions FROM '{path}/*.parquet'"),
    "datasets": lambda path, cache: hugging_face("parquet", path, cache),
}
CELLS: Mapping[str, Callable[[Path, Path], Any]] = {
    "csv": lambda path, _: csv.DictReader(io.StringIO(text_of(path), newline="")),
    "pandas": lambda path, _: pd.read_csv(path, keep_default_na=False).to_dict("records"),
    "polars": lambda path, _: pl.read_csv(path).to_dicts(),
    "duckdb": lambda path, _: arrow(f"SELECT id, caption FROM read_csv('{path}')"),
    "datasets": lambda path, cache: hugging_face("csv", path, cache, keep_default_na=False),
}


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def arrow(query: str) -> list[dict[str, Any]]:
    with duckdb.connect() as database:
        rows: list[dict[str, Any]] = database.sql(query).to_arrow_table().to_pylist()
        return rows


@pytest.mark.parametrize("reader", LINES)
def test_json_lines_are_read_back(reader: str, made: Path, captions: Texts, tmp_path: Path):
    read = LINES[reader](made / "out" / "photos.jsonl", tmp_path)

    assert listed(read, "captions") == captions


@pytest.mark.parametrize("reader", TABLES)
def test_parquet_is_read_back(reader: str, made: Path, captions: Texts, tmp_path: Path):
    read = TABLES[reader](made / "out" / "photos-parquet", tmp_path)

    assert listed(read, "captions") == captions


@pytest.mark.parametrize("reader", CELLS)
def test_csv_is_read_back(reader: str, made: Path, picked: Texts, tmp_path: Path):
    read = [row for row in CELLS[reader](made / "one-csv", tmp_path) if row["caption"]]

    assert {harmful(row["id"]): harmful(row["caption"]) for row in read} == {
        id_: text for id_, text in picked.items() if text
    }


def harmful(cell: str) -> str:
    """Take away the apostrophe that keeps a spreadsheet from running a cell."""
    return re.sub("\\A'('*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])", r"\1", cell)


def test_csv_is_read_by_the_rules_of_spreadsheets(made: Path, picked: Texts):
    """Written down apart from what reads CSV elsewhere: RFC 4180, a mark for UTF-8, formulas."""
    text = (made / "one-csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    head, *rows = cells(text.decode("utf-8-sig"))
    place = head.index("caption")

    dangerous = [cell for row in rows for cell in row if re.match(r"[=+\-@\t\r]", cell)]
    assert {cell for cell in dangerous if not re.fullmatch(r"-[\d.]+|-inf", cell)} == set()
    assert {len(row) for row in rows} == {len(head)}
    assert {harmful(row[0]): harmful(row[place]) for row in rows} == {
        id_: text or "" for id_, text in picked.items()
    }


def cells(text: str) -> list[list[str]]:
    """Read CSV as RFC 4180 has it."""
    rows: list[list[str]] = []
    row: list[str] = []
    for found in re.finditer(r'(?:"((?:[^"]|"")*)"|([^",\n]*))([,\n])', text):
        quoted, bare, end = found.groups()
        row.append(bare if quoted is None else quoted.replace('""', '"'))
        if end == "\n":
            rows.append(row)
            row = []
    assert sum(len(found[0]) for found in re.finditer(r'("(?:[^"]|"")*"|[^",\n]*)[,\n]', text)) == (
        len(text)
    )
    return rows


def test_csv_has_texts_as_they_are_where_asked(parts: Path, picked: Texts, tmp_path: Path):
    arguments = ("--format", "csv", "--pick", "first", "--columns", "id,captions", "--exact")
    exported(parts, *arguments, "-o", tmp_path / "out.csv")
    read = csv.DictReader(io.StringIO(text_of(tmp_path / "out.csv"), newline=""))

    assert {row["id"]: row["caption"] for row in read} == {i: t for i, t in picked.items() if t}


def test_odd_numbers_and_names_of_columns_are_safe_in_csv(tmp_path: Path):
    odd = [float("nan"), float("inf"), float("-inf"), -1.5, None]
    rows = [{"id": f"{n}", "captions": ["x"], "=run()": value} for n, value in enumerate(odd)]
    plain(tmp_path / "photos", 0, rows, **{"=run()": pa.float64()})
    exported(tmp_path / "photos", "--format", "csv", "-o", tmp_path / "out.csv")
    head, *read = cells((tmp_path / "out.csv").read_text("utf-8-sig"))

    assert head == ["id", "captions", "'=run()"]
    assert [row[2] for row in read] == ["NaN", "inf", "-inf", "-1.5", ""]
    assert pl.read_csv(tmp_path / "out.csv").dtypes[2] == pl.Float64


def test_no_text_is_a_formula_in_csv_of_whatever_type_it_is(tmp_path: Path):
    """As where pandas wrote a column of categories."""
    kinds = {
        "category": (pa.dictionary(pa.int32(), pa.string()), "=1+1"),
        "bytes": (pa.binary(3), b"\xf8\x00\x00"),
        "money": (pa.decimal128(5, 2), Decimal("-1.50")),
        "day": (pa.date32(), date(2026, 1, 2)),
    }
    row = {name: value for name, (_, value) in kinds.items()}
    types = {name: kind for name, (kind, _) in kinds.items()}
    plain(tmp_path / "photos", 0, [{"id": "1", "captions": ["x"], **row}], **types)
    exported(tmp_path / "photos", "--format", "csv", "-o", tmp_path / "out.csv")
    _, read = cells((tmp_path / "out.csv").read_text("utf-8-sig"))

    assert read[2:] == ["'=1+1", "'+AAA", "-1.50", "2026-01-02"]


def test_objects_have_the_values_of_the_parts(made: Path, parts: Path):
    """But for numbers that JSON does not know, which are null, and texts that are JSON."""
    lines = (made / "out" / "photos.jsonl").read_bytes().splitlines()
    by_id = {row["id"]: row for row in map(json.loads, lines)}
    [first] = [row for row in rows_of(parts) if row["id"] == "plain.jpg"]

    assert by_id["plain.jpg"] == first | {
        "captioned_at": "2023-11-14T22:13:20.250000Z",
        "stages": [first["stages"][0] | {"captioned_at": "2023-11-14T22:13:20.250000Z"}],
    }
    assert by_id["plain.jpg"]["year"] == 2**53 + 1
    assert [by_id[i]["score"] for i in ("ünï/コード.png", "../../etc/passwd")] == [None, None]
    assert by_id["with spaces/and more.jpg"]["info"] == {"k": 1}
    assert by_id["../../etc/passwd"]["extra"] == {
        "title": 7,
        "year": "unknown",
        "stray": {"deep": ["\0", None]},
    }


def test_file_of_each_sample_has_its_row(made: Path):
    lines = (made / "out" / "photos.jsonl").read_bytes().splitlines(keepends=True)
    written = files(made / "out" / "photos-json")

    assert sorted(written.values()) == sorted(lines)
    assert all(name.endswith(".json") for name in written)


def test_trainer_finds_the_text_beside_each_image(tmp_path: Path):
    """As trainers look for it: the path of the image, with .txt for its extension."""
    images = ("a/one.jpg", "a/two.v2.png", "b c/three.JPEG", "four.webp")
    rows = [{"id": name, "captions": [f"about {name}", "line\nbreak"]} for name in images]
    plain(tmp_path / "photos", 0, rows)
    for name in images:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    exported(tmp_path / "photos", "--format", "txt", "-o", tmp_path / "images")
    found = {
        path.relative_to(tmp_path / "images").as_posix(): path.with_suffix(".txt").read_text()
        for path in (tmp_path / "images").rglob("*")
        if path.suffix.lower() in {".jpg", ".png", ".jpeg", ".webp"}
    }

    assert found == {name: f"about {name}\nline break" for name in images}


def test_text_of_one_caption_is_as_it_is(made: Path, picked: Texts):
    written = files(made / "one-txt")

    assert sorted(written.values()) == sorted((text or "").encode() for text in picked.values())


WRITERS: Mapping[str, Callable[[Path, Path], object]] = {
    "pandas": lambda part, to: pd.read_parquet(part).to_parquet(to),
    "polars": lambda part, to: pl.read_parquet(part).write_parquet(to),
    "duckdb": lambda part, to: arrow(f"COPY (FROM '{part}') TO '{to}' (FORMAT parquet)"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_parts_that_others_wrote_again_are_exported_alike(writer: str, parts: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    for part in parts.glob("*.parquet"):
        WRITERS[writer](part, tmp_path / "photos" / part.name)
    columns = ("--columns", "id,captions")
    for folder, output in ((parts, "ours"), (tmp_path / "photos", "theirs")):
        for name, more in (("csv", columns), ("txt", ()), ("jsonl", columns)):
            where = ("-o", tmp_path / output / name, "--export-column", "captions")
            exported(folder, "--format", name, *where, *more)

    assert files(tmp_path / "theirs") == files(tmp_path / "ours")
    assert pq.read_schema(next((tmp_path / "photos").iterdir())).names
