"""vLLM's own server, with the shapes model: what it says is what vLLM says in our own process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import shared_desk
from tests.e2e.desk import Desk
from tests.e2e.pictures import rows
from tests.e2e.shapes import LOADING, ROOT, SHAPES, means, right
from tests.engine.openai.vllm_server import VllmServer

__all__ = ["means", "shared_desk"]
pytestmark = pytest.mark.vllm

SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"enum": ["small", "large"]},
        "color": {"enum": ["red", "green", "blue", "yellow"]},
        "shape": {"enum": ["circle", "square", "triangle"]},
    },
    "required": ["size", "color", "shape"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with VllmServer(tmp_path_factory.mktemp("vllm")) as started:
        yield started


def captioned(desk: Desk, server: VllmServer, name: str, **vllm: Any) -> list[dict[str, Any]]:
    """The samples of the repository, captioned by the server."""
    endpoint = {"base_url": server.url, "model": server.model, "api_key_env": "SHAPES_API_KEY"}
    document = {
        "engine": "openai",
        "openai": {"endpoints": [endpoint]},
        "vllm": {"sampling": {"temperature": 0, "max_tokens": 32}, **vllm},
    }
    (desk.folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    words = ("run", SHAPES / "images", "--config", f"{name}.yaml", "--data-dir", name)
    ended = desk.start(*words, environ={"SHAPES_API_KEY": server.key}).wait(LOADING)
    assert ended.code == 0, ended.words + server.log[-4000:]
    assert server.key not in ended.words
    return rows(desk.folder / name / "images")


@pytest.fixture(scope="module")
def there(shared_desk: Desk, server: VllmServer) -> list[dict[str, Any]]:
    """Captions of the server, which is not up yet when the run begins."""
    return captioned(shared_desk, server, "there")


@pytest.fixture(scope="module")
def here(shared_desk: Desk) -> list[dict[str, Any]]:
    """What `try` shows of vLLM in process, as examples/run.yaml says."""
    words = ("try", "examples/shapes/images", "--limit", 64, "--json")
    ended = shared_desk.start(*words, folder=ROOT).wait(LOADING)
    assert ended.code == 0, ended.words
    return [json.loads(line) for line in ended.out.splitlines()]


def test_captions_are_true(there: list[dict[str, Any]]):
    truth = json.loads((SHAPES / "captions.json").read_text())

    assert len(there) == 64
    assert right(there, truth) >= 62 / 64


def test_captions_are_those_of_vllm_in_process(
    there: list[dict[str, Any]], here: list[dict[str, Any]]
):
    fields = ("captions", "prompt_tokens", "finish_reasons")

    assert {row["id"]: [row[f] for f in fields] for row in there} == dict(map(tried, here))


def tried(shown: dict[str, Any]) -> tuple[str, list[Any]]:
    """The id and the same fields of an image that was tried."""
    [stage] = shown["stages"]
    [told] = stage["prompts"]
    id_ = Path(shown["image"]).relative_to("examples/shapes/images").as_posix()
    return id_, [[told["caption"]], told["prompt_tokens"], [told["finish_reason"]]]


def test_answers_have_the_form_that_is_asked_for(shared_desk: Desk, server: VllmServer):
    server.wait()
    found = captioned(
        shared_desk,
        server,
        "formed",
        structured_outputs={"json": SCHEMA},
        sampling={"temperature": 0, "max_tokens": 200},
    )

    answers = [json.loads(row["captions"][0]) for row in found]
    assert len(answers) == 64
    assert all(answer.keys() == SCHEMA["properties"].keys() for answer in answers)
    assert all(
        answer[k] in v["enum"] for answer in answers for k, v in SCHEMA["properties"].items()
    )


def test_choice_is_made_among_the_texts(shared_desk: Desk, server: VllmServer):
    server.wait()
    texts = ["light", "dark"]
    found = captioned(shared_desk, server, "chosen", structured_outputs={"choice": texts})

    assert {row["captions"][0] for row in found} <= set(texts)
