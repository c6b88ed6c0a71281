"""Pool: the first images of a data set that a run could caption, and why not the others."""

from pathlib import Path

from msgspec.structs import replace

from caption_flow.bench.pool import Pool, chosen, read_pool, without
from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import Source
from caption_flow.feed.selection import EVERYTHING, Selection
from tests.made import folder_source, pictures

LIMITS = ImagesConfig()


def source(root: Path) -> Source:
    folder = pictures(root / "in", range(4))
    (folder / "00000.jpg").write_bytes(b"no image")
    return folder_source(folder)


def read(root: Path, selection: Selection = EVERYTHING) -> Pool:
    return read_pool(source(root), selection, LIMITS, lambda: True)


def test_images_that_can_be_taken_are_read_and_the_others_named(tmp_path: Path):
    pool = read(tmp_path)

    assert len(pool.raws) == len(pool.offers) == 3
    assert [bad.reason for bad in pool.bad] == ["not_an_image"]


def test_no_more_are_read_than_a_run_would_caption(tmp_path: Path):
    assert len(read(tmp_path, Selection(limit=3)).offers) == 2
    assert len(list(chosen(source(tmp_path / "b"), Selection(limit=3)))) == 3


def test_nothing_more_is_read_once_nobody_wants_it(tmp_path: Path):
    wishes = iter([True] * 2)

    pool = read_pool(source(tmp_path), EVERYTHING, LIMITS, lambda: next(wishes, False))

    assert len(pool.offers) + len(pool.bad) == 2


def test_images_that_the_model_refuses_are_left_out(tmp_path: Path):
    pool = read(tmp_path)
    refused = replace(pool.bad[0], image=pool.raws[0].source)

    left = without(pool, [refused])

    assert left.offers == pool.offers[1:]
    assert left.bad == (*pool.bad, refused)
