"""Images with known captions: how a folder tells them, and what is said where it does not."""

import json
from pathlib import Path

import pytest

from caption_flow.config.schema import ImagesConfig
from caption_flow.errors import ConfigError
from caption_flow.proxy.checks.known import Truth, known_images
from tests.made import jpeg

SHAPES = Path(__file__).parents[3] / "examples" / "shapes"


def folder(root: Path, told: object) -> Path:
    (root / "images").mkdir()
    (root / "images" / "a.jpg").write_bytes(jpeg(1))
    (root / "b.png").write_bytes(jpeg(2))
    (root / "captions.json").write_text(json.dumps(told))
    return root


def test_examples_are_such_a_folder():
    known = known_images(SHAPES)
    name = known.pick(())
    assert name is not None
    read = known.read(name, ImagesConfig())
    assert read is not None
    image, picture = read

    assert len(image) == picture.bytes
    assert known.truth(name).texts[0].startswith("a ")


def test_captions_json_names_images_of_the_folder_and_of_images(tmp_path: Path):
    said = {"texts": ["red"], "columns": {"alt": "x"}}
    known = known_images(folder(tmp_path, {"a.jpg": "a red circle", "b.png": said}))

    assert known.truth("a.jpg") == Truth(("a red circle",))
    assert known.truth("b.png") == Truth(("red",), columns={"alt": "x"})
    assert known.truth("c.jpg") is None
    assert known.pick({"a.jpg"}) == "b.png"
    assert known.pick({"a.jpg", "b.png"}) is None


def test_files_beside_images_tell_them(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    for name in ("a.jpg", "deep/b.JPG", "untold.jpg"):
        (tmp_path / name).write_bytes(jpeg(1))
    (tmp_path / "a.txt").write_text(" a red circle\n")
    (tmp_path / "deep" / "b.json").write_text('{"fields": {"shape": "circle"}}')

    known = known_images(tmp_path)

    assert known.truth("a.jpg") == Truth(("a red circle",))
    assert known.truth("deep/b.JPG") == Truth(fields={"shape": "circle"})
    assert known.truth("untold.jpg") is None


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"x.jpg": "a"}, 'names "x.jpg"'),
        ({"../../etc/passwd": "a"}, "not there"),
        ({"a.jpg": 3}, '"a.jpg"'),
        ({"a.jpg": " "}, "says nothing"),
        ({"a.jpg": {"text": "a"}}, "unknown field"),
        ([], "not as it should be"),
        ({}, "has no captions.json, and no image"),
    ],
)
def test_wrong_folder_is_named_with_the_reason(tmp_path: Path, told: object, says: str):
    with pytest.raises(ConfigError, match=r"proxy\.checks\.known: ") as caught:
        known_images(folder(tmp_path, told))
    assert says in str(caught.value)


def test_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no folder"):
        known_images(tmp_path / "none")


def test_name_that_cannot_be_shown_is_refused(tmp_path: Path):
    (tmp_path / "a\udcff.jpg").write_bytes(jpeg(1))
    with pytest.raises(ConfigError, match="rename it"):
        known_images(tmp_path)


def test_image_that_cannot_be_read_is_passed_over(tmp_path: Path):
    known = known_images(folder(tmp_path, {"a.jpg": "a", "b.png": "b"}))
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "images" / "a.jpg").unlink()

    assert known.read("a.jpg", ImagesConfig()) is None
    assert known.read("b.png", ImagesConfig()) is None
    assert known.read("c.jpg", ImagesConfig()) is None


def test_truth_is_compared_with_what_was_said():
    one = Truth(("a red circle",))
    assert one.agreement(["blue", "A red circle!"], {}) == 1
    assert one.agreement([], {}) == 0
    assert Truth(("red", "circle")).agreement(["red", "square"], {}) == 0.5
    form = Truth(fields={"shape": "circle", "count": 1})
    assert form.agreement(["{}"], {"shape": "circle", "count": 2, "colour": "red"}) == 0.5
