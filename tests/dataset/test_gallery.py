"""The finished parts as one list: paged, searched, filtered, and followed as they change."""

import errno
import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.dataset.gallery import Ask, Gallery, Page, follower, index
from caption_flow.dataset.gallery.entries import entries
from caption_flow.dataset.gallery.gallery import NoSearch
from caption_flow.dataset.gallery.index import IndexUnusable
from caption_flow.dataset.gallery.plain import plain
from caption_flow.dataset.gallery.query import question
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rewriting import begin
from caption_flow.errors import StorageUnfit
from tests.e2e.desk import wait_until
from tests.view.parts import NEEDLE, numbered, part_name, write_part, write_parts

PER_PART = 40
ROWS = 100  # in parts of 40, 40 and 20


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(follower, "_AGAIN_SECONDS", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job of a few parts."""
    path = tmp_path / "captions" / "photos"
    for _ in write_parts(path, ROWS, PER_PART):
        pass
    return path


Opening = Callable[..., Gallery]


@pytest.fixture
def opening(folder: Path, tmp_path: Path) -> Iterator[Opening]:
    """Open galleries over it that are closed in the end."""
    with ExitStack() as opened:

        def open_(cache: str = "cache") -> Gallery:
            parts = PartFolder(folder.parent, folder.name)
            return opened.enter_context(Gallery(parts, tmp_path / cache))

        yield open_


@pytest.fixture
def gallery(opening: Opening) -> Gallery:
    return searched(opening())


def searched(gallery: Gallery, rows: int = ROWS) -> Gallery:
    """Wait until so many rows are there, and all can be searched."""

    def ready() -> bool:
        state = gallery.state()
        return state.rows == state.indexed == rows and state.counted and not state.indexing

    wait_until(ready, f"{rows} rows to be indexed")
    return gallery


def numbers(page: Page) -> list[int]:
    return [int(row.id[-12:-4]) for row in page.rows]


def found(gallery: Gallery, text: str = "", **facets: str) -> list[int]:
    page = gallery.page(Ask(text, tuple(facets.items())), 0, 1000)
    assert page.total == len(page.rows)
    return numbers(page)


def rows_where(holds: Callable[[dict[str, Any]], bool]) -> list[int]:
    parts = [numbered(start, min(PER_PART, ROWS - start)) for start in range(0, ROWS, PER_PART)]
    return [n for n, row in enumerate(row for part in parts for row in part) if holds(row)]


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


# What happens meanwhile


def test_part_that_comes_is_there(gallery: Gallery, folder: Path):
    write_part(folder, part_name(3), numbered(ROWS, 10))
    searched(gallery, ROWS + 10)

    assert numbers(gallery.page(Ask(), ROWS, 30)) == list(range(ROWS, ROWS + 10))
    assert found(gallery, "00000105 ") == [105]


def test_rows_that_are_taken_back_are_gone(gallery: Gallery, folder: Path):
    theirs = found(gallery, contributor="ann")
    parts = PartFolder(folder.parent, folder.name)
    for part in parts.published():
        rewriting = begin(parts, part, "token")
        assert rewriting is not None
        rewriting.write("ann", 0.0)
        rewriting.prepare()
        rewriting.replace()
        rewriting.close()
    searched(gallery, ROWS - len(theirs))

    assert theirs
    assert found(gallery, contributor="ann") == []
    assert numbers(gallery.page(Ask(), 0, ROWS)) == sorted(set(range(ROWS)) - set(theirs))
    assert "ann" not in [choice.value for choice in gallery.choices("contributor")]


def test_row_is_found_in_a_part_that_was_rewritten(gallery: Gallery, folder: Path):
    [row] = gallery.page(Ask(), 39, 1).rows
    write_part(folder, part_name(0), numbered(0, PER_PART)[10:])

    moved = gallery.row(row.part, row.number, row.id)
    assert moved is not None
    assert (moved.number, moved.id) == (29, row.id)


def test_part_that_vanishes_is_gone(gallery: Gallery, folder: Path):
    [row] = gallery.page(Ask(), 0, 1).rows
    (folder / f"{part_name(0)}.parquet").unlink()
    page = gallery.page(Ask(), 0, 30)  # whether that is known by now or not

    assert all(n >= PER_PART for n in numbers(page))
    searched(gallery, ROWS - PER_PART)
    assert numbers(gallery.page(Ask(), 0, 1)) == [PER_PART]
    assert gallery.row(row.part, row.number, row.id) is None
    assert found(gallery, f"{NEEDLE} ") == []


def test_folder_that_goes_and_comes_back(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "entries", None)  # nothing is read again
    away = folder.with_name("away")
    folder.rename(away)
    wait_until(lambda: gallery.state().rows == 0, "the rows to be gone")
    assert found(gallery, f"{NEEDLE} ") == []
    away.rename(folder)

    assert found(searched(gallery), f"{NEEDLE} ") == [7]


def test_rows_of_a_part_that_was_rewritten_are_found_in_their_place(gallery: Gallery, folder: Path):
    write_part(folder, part_name(0), numbered(0, PER_PART)[5:])
    searched(gallery, ROWS - 5)
    newest = gallery.page(Ask("afternoon "), 0, ROWS, newest=True)

    assert found(gallery, "afternoon ") == list(range(5, ROWS))
    assert numbers(newest) == list(range(ROWS - 1, 4, -1))


def test_search_finds_what_is_indexed_by_now(opening: Opening, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()
    read: list[object] = []

    def slowly(part: Any) -> Iterator[Any]:
        read.append(part)
        if len(read) > 1:
            go_on.wait(60)
        yield from entries(part)

    monkeypatch.setattr(follower, "entries", slowly)
    gallery = opening()
    wait_until(lambda: len(read) == 2, "the first part to be indexed")
    page = gallery.page(Ask("afternoon "), 0, ROWS)
    assert (numbers(page), page.complete) == (list(range(PER_PART)), False)
    assert gallery.state().indexing

    go_on.set()
    assert len(found(searched(gallery), "afternoon ")) == ROWS


def test_part_without_rows_is_no_work(
    opening: Opening, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for file in folder.glob("part-*.parquet"):
        file.unlink()
    write_part(folder, part_name(0), [])
    begun, go_on = threading.Event(), threading.Event()

    def slowly(part: Any) -> Iterator[Any]:
        begun.set()
        go_on.wait(60)
        yield from entries(part)

    monkeypatch.setattr(follower, "entries", slowly)
    gallery = opening()
    assert begun.wait(60)
    state = gallery.state()
    go_on.set()

    assert (state.rows, state.indexing) == (0, False)


def test_index_is_kept(opening: Opening, monkeypatch: pytest.MonkeyPatch):
    searched(opening())
    monkeypatch.setattr(follower, "entries", None)  # nothing is read again

    assert found(searched(opening()), f"{NEEDLE} ") == [7]


def test_index_is_begun_anew_for_parts_that_are_gone(
    gallery: Gallery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(index, "_WASTE", 10)
    [file] = (tmp_path / "cache").glob("*.sqlite")
    for number in (0, 1):
        (folder / f"{part_name(number)}.parquet").unlink()
    searched(gallery, ROWS - 2 * PER_PART)

    def retired() -> int:
        with sqlite3.connect(file) as reader:
            return int(reader.execute("SELECT count(*) FROM part WHERE NOT live").fetchone()[0])

    wait_until(lambda: retired() == 0, "what is gone to be left out")
    assert len(found(searched(gallery, ROWS - 2 * PER_PART), "afternoon ")) == ROWS - 2 * PER_PART


def test_index_does_not_grow_with_parts_that_are_rewritten(
    gallery: Gallery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(index, "_WASTE", 10)
    [file] = (tmp_path / "cache").glob("*.sqlite")
    for lost in range(1, 9):
        write_part(folder, part_name(0), numbered(0, PER_PART)[lost:])
        searched(gallery, ROWS - lost)

    with sqlite3.connect(file) as reader:
        wasted = reader.execute("SELECT sum(rows) FROM part WHERE NOT live").fetchone()[0] or 0
    assert wasted <= 2 * ROWS
    assert found(gallery, "afternoon ") == list(range(8, ROWS))


# What is wrong


def test_part_that_cannot_be_opened_harms_no_other(opening: Opening, folder: Path):
    bad = folder / "part-00-astray.parquet"
    bad.symlink_to(bad.name)
    gallery = searched(opening())
    assert list(gallery.state().troubles) == ["part-00-astray"]

    write_part(folder, part_name(3), numbered(ROWS, 10))
    assert found(searched(gallery, ROWS + 10), "00000105 ") == [105]
    bad.unlink()
    write_part(folder, "part-00-astray", numbered(200, 1))
    assert found(searched(gallery, ROWS + 11), "00000200 ") == [200]
    assert gallery.state().troubles == {}


def test_part_that_can_no_more_be_opened_is_told_of(gallery: Gallery, folder: Path):
    [row] = gallery.page(Ask(), 0, 1).rows
    bad = folder / f"{row.part}.parquet"
    bad.unlink()
    bad.symlink_to(bad.name)
    page = gallery.page(Ask(), 0, ROWS)  # whether that is known by now or not

    assert set(range(PER_PART, ROWS)) <= set(numbers(page))


def test_values_that_python_has_no_place_for_are_told_of(opening: Opening, folder: Path):
    rows = pq.read_table(folder / f"{part_name(0)}.parquet", partitioning=None).slice(0, 1)
    far = pa.array([1 << 40], pa.timestamp("s"))
    pq.write_table(rows.append_column("taken", far), folder / "part-00-far.parquet")
    gallery = opening()

    def ready() -> bool:
        return gallery.state().indexed == ROWS and not gallery.state().indexing

    wait_until(ready, "the other parts to be indexed")
    [row] = gallery.page(Ask(), 0, 1).rows
    with pytest.raises(StorageUnfit, match=r"part-00-far.parquet .* sound copy"):
        gallery.row(row.part, row.number, row.id)
    assert list(gallery.state().troubles) == ["part-00-far"]
    assert found(gallery, f"{NEEDLE} ") == [7]
    write_part(folder, part_name(3), numbered(ROWS, 10))
    wait_until(lambda: found(gallery, "00000105 ") == [105], "a part that comes to be found")


def test_part_that_the_disk_refuses_is_tried_again(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
):
    refusals = iter([OSError(errno.ENOTCONN, "not connected"), OSError(errno.EIO, "broken")])

    def at_last(part: Any) -> Iterator[Any]:
        if error := next(refusals, None):
            raise error
        yield from entries(part)

    monkeypatch.setattr(follower, "entries", at_last)
    gallery = opening()

    wait_until(lambda: gallery.state().indexed == ROWS, "all parts to be indexed")
    assert found(searched(gallery), f"{NEEDLE} ") == [7]
    assert gallery.state().troubles == {}


def test_texts_that_are_missing_in_a_list_are_left_out(opening: Opening, folder: Path):
    rows = numbered(0, 1)
    rows[0] |= {"captions": [None, "a dog"], "quality_flags": [None]}
    write_part(folder, part_name(0), rows)
    [row] = searched(opening(), ROWS - PER_PART + 1).page(Ask(), 0, 1).rows

    assert (row.captions["captions"], row.flags) == (["a dog"], ())


def test_part_that_is_damaged_harms_no_other(opening: Opening, folder: Path):
    (folder / "part-00-torn.parquet").write_bytes(b"PAR1 and no more")
    gallery = searched(opening())

    assert list(gallery.state().troubles) == ["part-00-torn"]
    assert numbers(gallery.page(Ask(), 0, ROWS)) == list(range(ROWS))


def test_rows_that_cannot_be_read_are_told_of(gallery: Gallery, folder: Path):
    path = folder / f"{part_name(1)}.parquet"
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[4 : len(data) // 2] = random.Random(1).randbytes(len(data) // 2 - 4)
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    page = gallery.page(Ask(), 0, ROWS)

    assert not set(range(PER_PART)) - set(numbers(page))
    assert [str(path) in note for note in page.notes] == [True]


def test_index_that_is_damaged_is_begun_anew(opening: Opening, tmp_path: Path):
    searched(opening("spoilt"))
    [file] = (tmp_path / "spoilt").glob("*.sqlite")
    other = tmp_path / "other"
    other.mkdir()
    (other / file.name).write_bytes(b"no index " * 1000)

    assert found(searched(opening("other")), f"{NEEDLE} ") == [7]


def overwrite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.write_bytes(b"no index " * 9000)


@pytest.mark.parametrize("spoil", [Path.unlink, overwrite])
def test_index_that_is_spoilt_meanwhile_is_begun_anew(
    gallery: Gallery, tmp_path: Path, spoil: Callable[[Path], object]
):
    [file] = (tmp_path / "cache").glob("*.sqlite")
    spoil(file)

    def is_found() -> bool:
        try:
            return found(gallery, f"{NEEDLE} ") == [7] and gallery.state().indexed == ROWS
        except (IndexUnusable, NoSearch):
            return False

    wait_until(lambda: is_found() and not gallery.state().search, "the index to be there again")


def test_index_is_tried_again(opening: Opening, tmp_path: Path):
    (tmp_path / "cache").write_text("a file in its place")
    gallery = opening()
    wait_until(lambda: gallery.state().search, "the cache to be missed")
    (tmp_path / "cache").unlink()

    assert found(searched(gallery), f"{NEEDLE} ") == [7]
    assert gallery.state().search == ""


def test_without_a_cache_there_is_no_search(opening: Opening, tmp_path: Path):
    (tmp_path / "cache").write_text("a file in its place")
    gallery = opening()
    wait_until(lambda: gallery.state().search, "the cache to be missed")

    assert numbers(gallery.page(Ask(), 0, 3)) == [0, 1, 2]
    with pytest.raises(NoSearch, match="cannot be used"):
        gallery.page(Ask("dog"), 0, 3)


def test_two_look_at_the_same_parts(opening: Opening, folder: Path):
    one, other = searched(opening()), searched(opening())
    write_part(folder, part_name(3), numbered(ROWS, 10))

    for gallery in (one, other):
        searched(gallery, ROWS + 10)
        wait_until(lambda g=gallery: found(g, "00000105 ") == [105], "both to find it")


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
