"""Retiring: who merges is alone, and what was merged is deleted when nobody reads."""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset import retiring
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import merging_alone, sweep
from caption_flow.dataset.snapshot import shared
from caption_flow.errors import CaptionFlowError, StorageBlocked
from tests.dataset.mergers import merged, written


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    folder = PartFolder(tmp_path, "books")
    folder.make()
    return folder


def before_locking(monkeypatch: pytest.MonkeyPatch, first: Callable[[], None]) -> None:
    """Do something once, when somebody is about to lock."""
    flock = fcntl.flock

    def do_first(file: Any, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", do_first)


def test_nobody_merges_beside_another(folder: PartFolder):
    with (
        merging_alone(folder),
        pytest.raises(CaptionFlowError, match="being merged already"),
        merging_alone(folder),
    ):
        pass

    with merging_alone(folder):
        pass
    assert list(folder.path.iterdir()) == []


def test_parts_are_merged_by_who_comes_when_another_is_just_done(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    other = ExitStack()
    other.enter_context(merging_alone(folder))
    before_locking(monkeypatch, other.close)

    with merging_alone(folder):
        assert [path.name for path in folder.path.iterdir()] == [".merging"]


def test_disk_that_cannot_lock_is_told(folder: PartFolder, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    before_locking(monkeypatch, refuse)
    with pytest.raises(StorageBlocked, match="No locks available"), merging_alone(folder):
        pass


def test_who_begins_to_read_waits_for_a_few_files_to_be_deleted_and_others_are_kept(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    merged(folder, [written(folder, number) for number in range(5)])
    monkeypatch.setattr(retiring, "TOGETHER", 2)
    with ExitStack() as reader:
        begin = lambda _seconds: reader.enter_context(shared(folder.path))  # noqa: E731
        monkeypatch.setattr("time.sleep", begin)

        assert sweep(folder) == 3

    assert len(folder.retired_parts()) == 3
