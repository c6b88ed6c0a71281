"""The shapes model that answers in JSON: the other one, but for what it has learned."""

from pathlib import Path

import pytest

SHAPES = Path(__file__).parents[2] / "examples" / "shapes"
MODEL, TAUGHT = SHAPES / "model", SHAPES / "json-model"
FILES = sorted(path.name for path in MODEL.iterdir())


def test_it_has_the_same_files():
    assert sorted(path.name for path in TAUGHT.iterdir()) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".safetensors")])
def test_all_but_its_weights_are_the_same(name: str):
    assert (TAUGHT / name).read_bytes() == (MODEL / name).read_bytes()


def test_its_weights_are_others_of_the_same_size():
    weights, taught = (folder / "model.safetensors" for folder in (MODEL, TAUGHT))

    assert taught.stat().st_size == weights.stat().st_size
    assert taught.read_bytes() != weights.read_bytes()
