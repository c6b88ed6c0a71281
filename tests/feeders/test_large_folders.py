"""A folder of any size is listed in order in little memory."""

import os
import random
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeders import ordered as ordering
from tests.feeders.tree import names, open_files, source

MANY = 200_000
MEMORY = 8_000_000  # bytes; the names alone would be 13 MB


class Entry:
    """A file as the operating system lists it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def is_symlink(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        del follow_symlinks
        return self.name.startswith("folder")


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that lists as many files as folders, in no order."""
    step = 7919  # prime to MANY: meets each number once

    @contextmanager
    def scandir(_fd: int) -> Iterator[Iterator[Entry]]:
        numbers = (at * step % MANY for at in range(MANY))
        yield (Entry(name) for at in numbers for name in (f"{at:07}.jpg", f"folder{at:07}"))

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path


def peak_of(names: Iterator[str]) -> tuple[int, int]:
    tracemalloc.start()
    count = sum(1 for _ in names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return count, peak


def test_names_of_a_large_folder_take_little_memory(crowded: Path):
    count, peak = peak_of(source(crowded).names(".", None))

    assert count == MANY
    assert peak < MEMORY


def test_names_of_a_large_folder_are_in_order(crowded: Path):
    found = names(crowded)

    assert found == sorted(found)


def test_a_large_folder_goes_on_strictly_after_a_name(crowded: Path):
    assert names(crowded, after="0199990.jpg") == [f"{at:07}.jpg" for at in range(199_991, MANY)]


def test_folders_of_a_large_folder_take_little_memory(crowded: Path):
    walk = source(crowded).shards()

    _, peak = peak_of(next(walk) for _ in range(2))

    assert peak < MEMORY


def test_a_small_folder_needs_no_temporary_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ordering, "TemporaryFile", None)

    assert list(ordering.ordered(["b", "a"])) == ["a", "b"]


def test_a_listing_left_off_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ordering, "RUN", 2)
    before = open_files()

    listing = ordering.ordered(str(at) for at in range(10))
    next(listing)
    del listing

    assert open_files() == before


def test_the_temporary_file_has_no_name_to_be_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ordering, "RUN", 2)

    listing = ordering.ordered(str(at) for at in range(10))
    next(listing)

    assert list(tmp_path.iterdir()) == []


TEXT = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)


@given(names=st.sets(TEXT), run=st.integers(1, 5), block=st.integers(1, 9))
def test_any_names_come_out_sorted_once(names: set[str], run: int, block: int):
    shuffled = random.Random(7).sample(sorted(names), len(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "RUN", run)
        patch.setattr(ordering, "_BLOCK", block)

        assert list(ordering.ordered(shuffled)) == sorted(names)
