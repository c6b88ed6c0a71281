"""Galleries tell of parts and indexes that something is wrong with, and show the others."""

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.gallery import Ask, Gallery, follower
from caption_flow.dataset.gallery.entries import entries
from caption_flow.dataset.gallery.gallery import NoSearch
from caption_flow.dataset.gallery.index import IndexUnusable
from caption_flow.errors import StorageUnfit
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
from tests.e2e.desk import wait_until
from tests.view.parts import NEEDLE, numbered, part_name, write_part

__all__ = ["brisk", "folder", "gallery", "opening"]


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

    for each in (one, other):
        searched(each, ROWS + 10)
        wait_until(lambda g=each: found(g, "00000105 ") == [105], "both to find it")
