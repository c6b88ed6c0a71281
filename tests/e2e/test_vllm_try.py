"""The real vLLM in `caption-flow try`: answers of a form, and what is read from them."""

import json
from pathlib import Path
from typing import Any

import pytest

from examples.shapes.draw import COLOURS, SIZES
from examples.shapes.draw import SHAPES as FORMS
from tests.e2e.desk import Desk, wait_until
from tests.e2e.runs import processes_in
from tests.e2e.shapes import LOADING, ONE_PROCESS, SHAPES, means

__all__ = ["means"]
pytestmark = pytest.mark.vllm

KEYS = {"size": SIZES, "color": COLOURS, "shape": FORMS, "background": COLOURS}
SCHEMA = {
    "type": "object",
    "properties": {name: {"enum": list(values)} for name, values in KEYS.items()},
    "required": list(KEYS),
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def shown(shared_desk: Desk) -> dict[str, dict[str, Any]]:
    """What `try` shows of the images of the repository, with the model that answers in JSON."""
    document = shared_desk.folder / "formed.yaml"
    stage = {
        "name": "look",
        "prompts": ["Describe the image as JSON."],
        "output_field": "answer",
        "sampling": {"temperature": 0, "max_tokens": 60},
        "structured_outputs": {"json": SCHEMA},
    }
    engine = {"max_model_len": 512, "gpu_memory_utilization": 0.1, "enforce_eager": True}
    vllm = {"model": str(SHAPES / "json-model"), **engine, **ONE_PROCESS, "stages": [stage]}
    document.write_text(json.dumps({"vllm": vllm}))
    words = ("try", SHAPES / "images", "--config", document, "--limit", 64, "--json")
    ended = shared_desk.start(*words).wait(LOADING)
    assert ended.code == 0, ended.words
    return dict(told(json.loads(line)) for line in ended.out.splitlines())


def told(shown: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of an image, and what was answered to its one prompt."""
    [stage] = shown["stages"]
    [answer] = stage["prompts"]
    return Path(shown["image"]).relative_to(SHAPES / "images").as_posix(), answer


def test_all_answers_have_their_form(shown: dict[str, dict[str, Any]]):
    assert len(shown) == 64
    assert all(json.loads(answer["caption"]).keys() == KEYS.keys() for answer in shown.values())


def test_what_a_form_names_is_shown_as_fields(shown: dict[str, dict[str, Any]]):
    assert all(json.loads(answer["caption"]) == answer["fields"] for answer in shown.values())


def test_the_fields_are_true(shown: dict[str, dict[str, Any]]):
    truth = json.loads((SHAPES / "captions.json").read_text())
    true = 0
    for name, answer in shown.items():
        _, size, color, shape, _, _, background, _ = truth[name].split()
        true += [answer["fields"][key] for key in KEYS] == [size, color, shape, background]

    assert true >= 60


def test_no_process_is_left(shared_desk: Desk, shown: dict[str, dict[str, Any]]):
    assert shown
    wait_until(lambda: processes_in(shared_desk.folder) == [], "all processes to end")
