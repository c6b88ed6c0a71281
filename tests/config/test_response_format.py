"""The form of answers in OpenAI's words and in older ones: all become structured_outputs."""

from typing import Any

import msgspec
import pytest

from caption_flow.config import load_job
from caption_flow.config.structured import StructuredOutputs
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
OPENAI = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
PLACES = ["vllm", "vllm.stages[0]"]


def document(vllm: dict[str, Any], place: str = "vllm") -> str:
    if place != "vllm":
        vllm = {"stages": [{"name": "s", "prompts": ["?"]} | vllm]}
    return msgspec.json.encode({"vllm": vllm}).decode()


def form(write: Write, text: str) -> tuple[StructuredOutputs | None, tuple[str, ...]]:
    """The form of the only stage, and the warnings."""
    loaded = load_job("feed", write(text))
    [stage] = loaded.config.vllm.resolved_stages()
    assert (stage.engine_args, stage.sampling.extra) == ({}, {})
    return stage.structured_outputs, loaded.warnings


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (OPENAI, StructuredOutputs(json=SCHEMA)),
        ({"type": "json_object"}, StructuredOutputs(json={"type": "object"})),
        ({"type": "text"}, None),
        (None, None),
    ],
)
def test_response_format_is_taken_without_a_word(
    write: Write, place: str, given: Any, wanted: StructuredOutputs | None
):
    assert form(write, document({"response_format": given}, place)) == (wanted, ())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("response_format", OPENAI, StructuredOutputs(json=SCHEMA)),
        ("structured_outputs", {"regex": "a+"}, StructuredOutputs(regex="a+")),
        ("guided_decoding", {"choice": ["a", "b"]}, StructuredOutputs(choice=("a", "b"))),
        ("guided_json", SCHEMA, StructuredOutputs(json=SCHEMA)),
        ("guided_json", msgspec.json.encode(SCHEMA).decode(), StructuredOutputs(json=SCHEMA)),
        ("guided_choice", ["a", "b"], StructuredOutputs(choice=("a", "b"))),
        ("guided_regex", "a+", StructuredOutputs(regex="a+")),
        ("guided_grammar", "root ::= x", StructuredOutputs(grammar="root ::= x")),
    ],
)
def test_form_within_sampling_is_taken_with_a_warning(
    write: Write, place: str, name: str, value: Any, wanted: StructuredOutputs
):
    found, warnings = form(write, document({"sampling": {name: value}}, place))

    assert found == wanted
    assert warnings == (
        f"pipeline.yaml: {place}.sampling.{name} belongs beside sampling, "
        'as "structured_outputs", and is taken as that',
    )


RESPONSE = "vllm.response_format"
WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"response_format": OPENAI, "structured_outputs": {"regex": "a"}},
        f"{RESPONSE} stands beside structured_outputs, which says the same; keep one of them",
    ),
    (
        {"sampling": {"guided_regex": "a", "guided_choice": ["a", "b"]}},
        "vllm.sampling.guided_regex stands beside guided_choice, which says the same; "
        "keep one of them",
    ),
    ({"response_format": "json"}, f'{RESPONSE} is "json"; expected a mapping with a type'),
    (
        {"response_format": {"type": "json"}},
        f'{RESPONSE}.type is "json"; expected one of json_schema, json_object, text',
    ),
    (
        {"response_format": {"type": ["json"]}},
        f"{RESPONSE}.type is a list; expected one of json_schema, json_object, text",
    ),
    (
        {"response_format": {"type": "json_schema", "schema": SCHEMA}},
        f'{RESPONSE} has no field "schema"; did you mean "json_schema"?',
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        f'{RESPONSE}.json_schema needs "schema", a JSON schema',
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strct": True}}},
        f'{RESPONSE}.json_schema has no field "strct"; did you mean "strict"?',
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"properties": {"a": {"type": "strng"}}}},
            }
        },
        f'{RESPONSE}.json_schema.schema.properties.a.type is "strng"; expected one of array, '
        'boolean, integer, null, number, object, string; did you mean "string"?',
    ),
    (
        {"sampling": {"guided_json": {"type": "strng"}}},
        'vllm.sampling.guided_json.type is "strng"; expected one of array, boolean, integer, null, '
        'number, object, string; did you mean "string"?',
    ),
    (
        {"sampling": {"guided_regex": 5}},
        "vllm.sampling.guided_regex is 5; expected text; put it in quotes",
    ),
    (
        {
            "structured_outputs": {"regex": "a"},
            "stages": [{"name": "s", "prompts": ["?"], "response_format": {"type": "text"}}],
        },
        "vllm.stages[0].response_format asks for text, but vllm.structured_outputs is for all "
        "stages; write it at single ones",
    ),
]


@pytest.mark.parametrize(("vllm", "told"), WRONG)
def test_wrong_form_is_told_where_it_was_written(write: Write, vllm: dict[str, Any], told: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(document(vllm)))

    assert str(refused.value).splitlines()[0] == f"pipeline.yaml: {told}"
