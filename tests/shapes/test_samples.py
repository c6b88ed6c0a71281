"""The sample images and the captions that come with them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from examples.shapes.draw import COLOURS, SHAPES, SIZES, plan

SHAPES_FOLDER = Path(__file__).parents[2] / "examples" / "shapes"
IMAGES = SHAPES_FOLDER / "images"
CAPTIONS: dict[str, str] = json.loads((SHAPES_FOLDER / "captions.json").read_text())
SEED = 64  # the one that the README draws them with


def _files() -> list[Path]:
    return sorted(path for path in IMAGES.rglob("*") if path.is_file())


def test_every_file_has_a_caption_and_every_caption_a_file():
    assert {path.relative_to(IMAGES).as_posix() for path in _files()} == set(CAPTIONS)


def test_there_are_64():
    assert len(CAPTIONS) == 64


def test_folder_is_small():
    assert sum(path.stat().st_size for path in _files()) < 1_500_000


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.name)
def test_image_can_be_read(path: Path):
    with Image.open(path) as image:
        image.load()

    assert image.width == image.height


@pytest.mark.parametrize(("name", "caption"), CAPTIONS.items())
def test_caption_is_what_the_seed_says(name: str, caption: str):
    assert plan(SEED, int(Path(name).stem), None).caption == caption


def test_samples_show_every_word_and_format():
    words = set(" ".join(CAPTIONS.values()).split())

    assert words >= {*SIZES, *COLOURS, *SHAPES}
    assert {path.suffix for path in _files()} == {".jpg", ".png", ".webp"}
