"""A data set for the pipeline: as many samples as are wanted, and none where nobody wants it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.bench.pool import Pool
from caption_flow.bench.repeat import MOST_NAMES, Enough
from caption_flow.config import DatasetConfig
from caption_flow.model import Offer, Raw, Sample

DATASET = DatasetConfig(dataset_path="photos")


@pytest.fixture
def pool() -> Pool:
    raw = Raw("a", "a.jpg", b"pixels", {"title": "A"})
    sample = Sample("a", "d", ".", "c", "a.jpg", format="jpeg")
    return Pool((raw,), (Offer(sample, b"pixels"),), ())


def test_samples_that_are_there_are_taken_where_they_are_enough(tmp_path: Path, pool: Pool):
    enough = Enough(tmp_path / "images", 3, lambda: True)

    assert enough.of(DATASET, range(5), pool) == (replace(DATASET, limit=3), False)
    assert not enough.folder.exists()


def test_few_are_repeated_with_their_columns(tmp_path: Path, pool: Pool):
    enough = Enough(tmp_path / "images", 3, lambda: True)

    made, again = enough.of(DATASET, range(2), pool)

    assert again
    assert made.dataset_path == str(enough.folder)
    assert len(list(enough.folder.rglob("*.jpg"))) == len(list(enough.folder.rglob("*.json"))) == 3


def test_no_image_has_more_names_than_file_systems_take(tmp_path: Path, pool: Pool):
    enough = Enough(tmp_path / "images", 2 * MOST_NAMES + 1, lambda: True)

    enough.of(DATASET, range(2), pool)

    images = {path.stat().st_ino: path.stat().st_nlink for path in enough.folder.rglob("*.jpg")}
    assert sorted(images.values()) == [1, MOST_NAMES, MOST_NAMES]


def test_nothing_more_is_written_once_nobody_wants_it(tmp_path: Path, pool: Pool):
    wishes = iter([True] * 4)
    enough = Enough(tmp_path / "images", 10**9, lambda: next(wishes, False))

    enough.of(DATASET, range(2), pool)

    assert len(list(enough.folder.rglob("*.jpg"))) <= 4
