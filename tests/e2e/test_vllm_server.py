"""The real vLLM on the images of the repository: in process, as its README says, and vLLM's own
server, which says the same."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from msgspec import Struct

from tests.e2e.desk import Desk, Ended
from tests.e2e.pictures import rows
from tests.e2e.shapes import LOADING, ROOT, SHAPES, means, right
from tests.e2e.vllm_server import VllmServer

__all__ = ["means"]
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


class Run(Struct, frozen=True):
    """A run, and its rows."""

    ended: Ended
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def samples(shared_desk: Desk) -> Run:
    """The 64 images of the repository, captioned as its README says."""
    out = shared_desk.folder / "samples"
    command = shared_desk.start("run", "examples/shapes/images", "--data-dir", out, folder=ROOT)
    return Run(command.wait(LOADING), rows(out / "images"))


def test_run_in_the_repository_ends_well(samples: Run):
    assert samples.ended.code == 0, samples.ended.words


def test_samples_of_the_repository_are_captioned_truly(samples: Run):
    truth = json.loads((SHAPES / "captions.json").read_text())

    assert len(samples.rows) == 64
    assert right(samples.rows, truth) >= 62 / 64


def test_rows_say_what_made_them(samples: Run):
    made = {(row["engine"], row["model"]) for row in samples.rows}

    assert made == {("vllm", "examples/shapes/model")}


def test_rows_count_their_tokens(samples: Run):
    assert min(row["prompt_tokens"] for row in samples.rows) > 0
    assert min(row["output_tokens"] for row in samples.rows) > 0


def test_captions_end_where_the_model_ends_them(samples: Run):
    assert {reason for row in samples.rows for reason in row["finish_reasons"]} == {"stop"}


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


def test_captions_of_the_server_are_true(there: list[dict[str, Any]]):
    truth = json.loads((SHAPES / "captions.json").read_text())

    assert len(there) == 64
    assert right(there, truth) >= 62 / 64


def test_captions_are_those_of_vllm_in_process(there: list[dict[str, Any]], samples: Run):
    fields = ("captions", "prompt_tokens", "finish_reasons")

    assert said(there, fields) == said(samples.rows, fields)


def said(found: list[dict[str, Any]], fields: Sequence[str]) -> dict[str, list[Any]]:
    return {row["id"]: [row[field] for field in fields] for row in found}


@pytest.fixture(scope="module")
def formed(shared_desk: Desk, server: VllmServer) -> list[dict[str, Any]]:
    """Answers of a model that has learnt no JSON, in the form that is asked for."""
    server.wait()
    sampling = {"temperature": 0, "max_tokens": 200}
    form = {"json": SCHEMA}
    return captioned(shared_desk, server, "formed", structured_outputs=form, sampling=sampling)


def test_answers_have_the_form_that_is_asked_for(formed: list[dict[str, Any]]):
    answers = [json.loads(row["captions"][0]) for row in formed]
    assert len(answers) == 64
    assert all(answer.keys() == SCHEMA["properties"].keys() for answer in answers)
    assert all(
        answer[k] in v["enum"] for answer in answers for k, v in SCHEMA["properties"].items()
    )


def test_what_a_form_names_is_a_typed_column(shared_desk: Desk, formed: list[dict[str, Any]]):
    parts = sorted((shared_desk.folder / "formed" / "images").glob("*.parquet"))
    schemas = [pq.read_schema(part) for part in parts]
    names = SCHEMA["properties"].keys()

    assert {str(schema.field(name).type) for schema in schemas for name in names} == {"string"}
    assert all(json.loads(row["captions"][0]) == {k: row[k] for k in names} for row in formed)


def test_choice_is_made_among_the_texts(shared_desk: Desk, server: VllmServer):
    server.wait()
    texts = ["light", "dark"]
    found = captioned(shared_desk, server, "chosen", structured_outputs={"choice": texts})

    assert {row["captions"][0] for row in found} <= set(texts)
