"""Answers without a model have the form that their stage asks for, whatever was drawn."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.config.structured import StructuredOutputs
from caption_flow.engine.simulated_form import formed
from caption_flow.structured import parse

NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 12},
        "parts": {"type": "array", "items": {"$ref": "#"}, "maxItems": 3},
    },
    "required": ["name"],
}
FIELDS: dict[str, Any] = {
    "enum": {"enum": ["small", "large"]},
    "const": {"const": 7},
    "text": {"type": "string"},
    "long": {"type": "string", "minLength": 40},
    "short": {"type": "string", "maxLength": 2},
    "count": {"type": "integer", "minimum": 3, "maximum": 5},
    "even": {"type": "integer", "multipleOf": 2, "exclusiveMinimum": 0},
    "below": {"type": "integer", "maximum": -3},
    "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "sure": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3},
    "one": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
    "maybe": {"type": ["null", "string"]},
    "either": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
    "shared": {"$ref": "#/$defs/side"},
    "anything": {},
    "nothing": {"type": "null"},
}
digests = st.binary(min_size=32, max_size=32)


@given(digests)
@pytest.mark.parametrize("name", FIELDS)
def test_each_property_is_as_the_schema_says(name: str, digest: bytes):
    schema = {
        "type": "object",
        "properties": {name: FIELDS[name]},
        "required": [name],
        "$defs": {"side": {"enum": ["left", "right"]}},
    }
    form = StructuredOutputs(json=schema)
    answer = formed(form, digest)

    assert answer is not None
    assert list(parse(form, answer)) == [name]


@given(digests)
def test_schema_that_holds_itself_ends(digest: bytes):
    form = StructuredOutputs(json=NODE)
    answer = formed(form, digest)

    assert answer is not None
    assert set(parse(form, answer)) == {"name", "parts"}


@given(digests)
def test_choice_is_one_of_the_texts(digest: bytes):
    form = StructuredOutputs(choice=("day", "night"))

    assert formed(form, digest) in {"day", "night"}


def test_answers_differ_from_image_to_image():
    form = StructuredOutputs(json={"type": "object", "properties": {"n": {"type": "integer"}}})

    assert len({formed(form, bytes([n]) * 32) for n in range(9)}) > 1


@pytest.mark.parametrize("form", [StructuredOutputs(regex="a+"), StructuredOutputs(grammar="x")])
def test_nothing_is_made_for_patterns_and_grammars(form: StructuredOutputs):
    assert formed(form, bytes(32)) is None
