"""The finished parts as one list: paged, searched, filtered."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.dataset.gallery import Ask, Gallery
from caption_flow.dataset.gallery.plain import plain
from caption_flow.dataset.gallery.query import question
from tests.dataset.galleries import (
    PER_PART,
    ROWS,
    Opening,
    brisk,
    folder,
    found,
    gallery,
    numbers,
    opening,
    rows_where,
    searched,
)
from tests.view.parts import NEEDLE, numbered, part_name, write_part

__all__ = ["brisk", "folder", "gallery", "opening"]


# Pages


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0, range(30)),
        (35, range(35, 65)),
        (75, range(75, 100)),
        (99, range(99, 100)),
        (100, ()),
        (2**60, ()),
    ],
)
def test_any_page_is_read(opening: Opening, start: int, expected: range):
    page = opening().page(Ask(), start, 30)

    assert numbers(page) == list(expected)
    assert page.notes == ()


def test_newest_come_first_where_that_is_wanted(gallery: Gallery):
    assert numbers(gallery.page(Ask(), 0, 30, newest=True)) == list(range(99, 69, -1))
    assert numbers(gallery.page(Ask(), 90, 30, newest=True)) == list(range(9, -1, -1))


def test_row_tells_who_made_what(gallery: Gallery):
    [row] = gallery.page(Ask(), 9, 1).rows
    [told] = numbered(0, 10)[9:]

    assert row.captions == {"captions": told["captions"], "tags": told["tags"]}
    assert [(m.stage, m.contributor or None) for m in row.stages] == [
        ("caption", None),
        ("tag", told["contributor"]),
    ]
    assert row.flags == ("caption:too_short",)
    assert row.at == told["captioned_at"].timestamp()
    assert row.columns == {}
    assert row.sample.source == told["source"]


def test_row_by_itself_has_all_its_columns(gallery: Gallery):
    [row] = gallery.page(Ask(), 9, 1).rows
    whole = gallery.row(row.part, row.number, row.id)

    assert whole is not None
    assert whole.columns == {"licence": numbered(0, 10)[9]["licence"], "year": 1999}
    assert whole.account["prompts"] == "3f2a9c1d"
    assert [stage["stage"] for stage in whole.account["stages"]] == ["caption", "tag"]


# Search


def test_words_must_all_be_there(gallery: Gallery):
    text = [" ".join([*row["captions"], *row["tags"]]) for row in _all()]
    expected = [n for n, said in enumerate(text) if "dog" in said and "red" in said]

    assert expected
    assert found(gallery, "red dog ") == expected
    assert found(gallery, f"{NEEDLE} ") == [7]


def _all() -> list[dict[str, Any]]:
    starts = range(0, ROWS, PER_PART)
    return [row for start in starts for row in numbered(start, min(PER_PART, ROWS - start))]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ('"img 00000042"', [42]),  # ids are searched
        ("img-00000042.jpg", [42]),
        ('"light of the afternoon" 00000042', [42]),
        ('"light afternoon"', []),
        ("okap", [7]),  # just begun
        ("okap ", []),  # and ended
        ("oka* stands ", [7]),
        ("OKAPI ", [7]),
        ('"', []),
        ("- -- * !!!", []),
    ],
)
def test_what_is_typed_finds(gallery: Gallery, typed: str, expected: list[int]):
    assert found(gallery, typed) == expected


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("一只棕色的狗在公园里奔跑。", "公园"),
        ("公園を走る茶色の犬の写真", "茶色の犬 公園"),
        ("公園を走るイヌの写真", '"イヌの"'),
        ("สุนัขสีน้ำตาลวิ่งอยู่ในสวน", "สีน้ำตาล"),
        ("a 狗 in Paris公园", "paris 公园 "),
        ("a dog", "dog _"),
    ],
)
def test_words_are_found_that_no_space_sets_apart(
    opening: Opening, folder: Path, said: str, typed: str
):
    rows = numbered(0, 2)
    rows[1]["captions"] = [said]
    for file in folder.glob("part-*.parquet"):
        file.unlink()
    write_part(folder, part_name(0), rows)

    assert 1 in found(searched(opening(), 2), typed)
    assert found(searched(opening(), 2), "园公 犬の茶") == []


def test_minus_leaves_rows_out(gallery: Gallery):
    with_dog = set(found(gallery, "dog "))

    assert set(found(gallery, "-dog ")) == set(range(ROWS)) - with_dog
    assert set(found(gallery, "red -dog ")) == set(found(gallery, "red ")) - with_dog


def test_pages_of_what_is_found(gallery: Gallery):
    hits = found(gallery, "dog ")
    page = gallery.page(Ask("dog "), 3, 4)

    assert (numbers(page), page.total, page.complete) == (hits[3:7], len(hits), True)
    assert numbers(gallery.page(Ask("dog "), 0, 4, newest=True)) == hits[:-5:-1]


@given(st.text(max_size=60))
def test_nothing_that_is_typed_is_an_error(typed: str):
    with sqlite3.connect(":memory:") as empty:
        empty.execute("CREATE VIRTUAL TABLE rows USING fts5 (said, about, facets)")
        asked = question(typed, ["f1"])
        empty.execute("SELECT rowid FROM rows WHERE rows MATCH ?", (asked,)).fetchall()


# Filters


def test_filters_choose_rows(gallery: Gallery):
    def made_by(row: dict[str, Any], name: str | None) -> bool:
        return any(stage["contributor"] == name for stage in row["stages"])

    assert found(gallery, flag="caption:too_short") == [9]
    assert found(gallery, finish="length") == [3, 53]
    assert found(gallery, shard="00000") == list(range(ROWS))
    assert found(gallery, contributor="ann") == rows_where(lambda row: made_by(row, "ann"))
    assert found(gallery, contributor="") == rows_where(lambda row: made_by(row, None))
    assert found(gallery, stage="tag", finish="length") == [3, 53]
    assert found(gallery, f"{NEEDLE} ", finish="stop") == [7]
    assert found(gallery, shard="of others") == []


def test_choices_are_counted_the_most_frequent_first(gallery: Gallery):
    finish = [(choice.value, choice.rows) for choice in gallery.choices("finish")]

    assert finish == [("stop", ROWS), ("length", 2)]
    assert {choice.value for choice in gallery.choices("contributor", "o")} == {"bob", "cleo"}
    assert gallery.choices("flag", "%") == []


# Parts that are not as sinks leave them


def test_merged_part_is_read_by_names_and_types(opening: Opening, folder: Path):
    files = sorted(folder.glob("part-*.parquet"))
    rows = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    merged = rows.replace_schema_metadata(None)
    pq.write_table(merged, folder / "merging", row_group_size=70)
    for file in files:
        file.unlink()
    (folder / "merging").rename(folder / "part-merged.parquet")
    gallery = searched(opening())
    page = gallery.page(Ask(), 65, 10)

    assert numbers(page) == list(range(65, 75))
    assert set(page.rows[0].captions) == {"captions", "tags"}
    assert found(gallery, f"{NEEDLE} ") == [7]


def test_part_of_an_earlier_version_is_read(opening: Opening, folder: Path):
    for file in folder.glob("part-*.parquet"):
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.drop_columns(["quality_flags", "attempts", "stages"]), file)
    gallery = searched(opening())

    assert gallery.page(Ask(), 9, 1).rows[0].stages == ()
    assert found(gallery, contributor="ann") == rows_where(lambda r: r["contributor"] == "ann")
    assert gallery.choices("stage") == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**60, str(2**60)),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (b"\xff", "1 bytes"),
        ([1, [2, {"a": None}]], [1, [2, {"a": None}]]),
        (True, True),
    ],
)
def test_odd_values_become_what_a_browser_can_bear(value: Any, expected: Any):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_deep_and_long_values_are_cut():
    deep: Any = ["x" * 10**6] * 10**4
    for _ in range(100):
        deep = [deep]

    assert len(plain("x" * 10**6)) < 10**5
    assert len(plain([1] * 10**6)) < 10**5
    assert len(json.dumps(plain(deep))) < 10**5
