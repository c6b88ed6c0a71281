"""Galleries follow parts that come and go, and so does their search index."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.gallery import Ask, Gallery, follower, index
from caption_flow.dataset.gallery.catalogue import Catalogue
from caption_flow.dataset.gallery.entries import entries
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import sweep
from caption_flow.dataset.rewriting import begin
from caption_flow.dataset.snapshot import snapshot
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
    searched,
)
from tests.dataset.mergers import merged
from tests.e2e.desk import wait_until
from tests.view.parts import NEEDLE, numbered, part_name, write_part

__all__ = ["brisk", "folder", "gallery", "opening"]


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


def test_part_that_lost_rows_counts_as_indexed_when_it_is(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """There are as many rows then as were indexed before, and yet they are others."""
    seen, go_on = threading.Event(), threading.Event()
    clear = follower._clear

    def clear_later(*given: Any) -> None:
        seen.set()
        assert go_on.wait(20)
        clear(*given)

    monkeypatch.setattr(follower, "_clear", clear_later)
    write_part(folder, part_name(0), numbered(0, PER_PART)[1:])
    assert seen.wait(20)

    assert gallery.state().rows == ROWS - 1
    assert gallery.state().indexing
    go_on.set()
    searched(gallery, ROWS - 1)


def test_rows_stay_while_parts_are_merged(gallery: Gallery, folder: Path):
    parts = PartFolder(folder.parent, folder.name)
    [row] = gallery.page(Ask(), 39, 1).rows
    with snapshot(parts):
        merged(parts, parts.published())
        assert numbers(gallery.page(Ask(), 0, ROWS)) == list(range(ROWS))
        wait_until(lambda: gallery.state().parts == 1, "the merged part")
        searched(gallery)
    sweep(parts)

    assert numbers(gallery.page(Ask(), 0, ROWS)) == list(range(ROWS))
    assert found(gallery, "00000039 ") == [39]
    moved = gallery.row(row.part, row.number, row.id)
    assert moved is not None
    assert (moved.number, moved.id) == (39, row.id)


def test_a_look_during_which_parts_are_merged_lacks_no_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    parts = PartFolder(folder.parent, folder.name)
    published = parts.published

    def merge_then() -> list[str]:
        names = published()
        monkeypatch.setattr(parts, "published", published)
        merged(parts, names)
        return names

    monkeypatch.setattr(parts, "published", merge_then)

    assert Catalogue(parts, lambda _: None).look().rows == ROWS
