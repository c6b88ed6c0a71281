"""Snapshot: who has listed the parts reads each of them, whatever is merged meanwhile."""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from caption_flow.dataset import retiring
from caption_flow.dataset.merged import Look
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import sweep
from caption_flow.dataset.snapshot import Snapshot, shared_async, snapshot
from caption_flow.dataset.tail import newest
from caption_flow.dataset.versions import newest_version
from tests.dataset.mergers import AGREED, merged, written


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    return PartFolder(tmp_path, "books")


def ids(parts: Snapshot) -> list[str]:
    found: list[str] = []
    for name in parts.names:
        with parts.open(name) as file:
            found += pq.read_table(file).column("id").to_pylist()
        assert pq.read_metadata(parts.path(name)).num_rows
    return sorted(found)


def test_parts_are_read_under_their_own_names_or_after_they_were_merged(folder: PartFolder):
    parts = [written(folder, 1), written(folder, 2)]
    with snapshot(folder) as before:
        merged(folder, parts)
        with snapshot(folder) as after:
            assert ids(before) == ids(after) == ["00001.jpg", "00002.jpg"]

    assert (len(before.names), len(after.names)) == (2, 1)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (PartFolder.rows, 2),
        (PartFolder.agreed, AGREED),
        (newest_version, 1),
        (lambda folder: len(newest(folder, 1)), 1),
    ],
    ids=["rows", "columns", "versions", "newest"],
)
def test_parts_are_read_that_are_merged_whenever_they_were_listed(
    folder: PartFolder,
    read: Callable[[PartFolder], Any],
    told: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    written(folder, 1, 2)
    others, look = PartFolder(folder.path.parent, folder.path.name), PartFolder.look

    def look_before(self: PartFolder) -> Look:
        seen = look(self)
        if self is folder:
            merged(others, [written(others, 3), *seen.published])
            sweep(others)
        return seen

    monkeypatch.setattr(PartFolder, "look", look_before)
    assert read(folder) == told


@pytest.mark.parametrize("read", [PartFolder.rows_of, PartFolder.tally, PartFolder.shards])
def test_part_is_read_that_was_merged_since(
    folder: PartFolder, read: Callable[[PartFolder, str], Any]
):
    parts = [written(folder, 1), written(folder, 2)]
    before = read(folder, parts[0])
    merged(folder, parts)

    assert read(folder, parts[0]) == before


def test_what_a_merged_part_replaces_is_known_after_it_was_merged_again(folder: PartFolder):
    first = [written(folder, 1), written(folder, 2)]
    middle = merged(folder, first)
    merged(folder, [middle, written(folder, 3)])

    assert folder.replaced_by(middle) == dict.fromkeys(first, "")


def test_what_was_merged_is_kept_while_somebody_reads(folder: PartFolder):
    parts = [written(folder, 1), written(folder, 2)]
    with snapshot(folder):
        merged(folder, parts)
        assert sweep(folder) == 2
        assert len(folder.retired_parts()) == 2

    assert sweep(folder) == 0
    assert folder.retired_parts() == []


def test_what_was_merged_is_kept_where_the_merged_part_is_gone(folder: PartFolder):
    """Nowhere else are its rows."""
    name = merged(folder, [written(folder, 1), written(folder, 2)])
    folder.file(name).unlink()

    assert sweep(folder) == 0
    assert len(folder.retired_parts()) == 2


def test_folder_that_is_not_there_has_no_parts(folder: PartFolder):
    with snapshot(folder) as parts:
        assert parts.names == ()


async def test_event_loop_goes_on_while_files_are_deleted(folder: PartFolder):
    merged(folder, [written(folder, 1), written(folder, 2)])

    async def read() -> int:
        async with shared_async(folder.path):
            return sweep(folder)

    deleting = os.open(folder.path, os.O_RDONLY)
    fcntl.flock(deleting, fcntl.LOCK_EX)
    reading = asyncio.create_task(read())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 0.03)
    os.close(deleting)

    assert await reading == 2
    assert sweep(folder) == 0


async def test_folder_that_is_not_there_is_not_waited_for(folder: PartFolder):
    async with shared_async(folder.path):
        pass


def test_where_a_disk_cannot_lock_folders_what_was_merged_is_kept_for_a_while(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    name = merged(folder, [written(folder, 1), written(folder, 2)])
    now = time.time()

    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert sweep(folder) == 2

    monkeypatch.setattr(time, "time", lambda: now + 2 * retiring.KEPT_SECONDS)
    os.utime(folder.file(name), (now, now + 1.5 * retiring.KEPT_SECONDS))
    assert sweep(folder) == 2  # whatever the disk says of when a file was renamed

    os.utime(folder.file(name), (now, now))
    assert sweep(folder) == 0
