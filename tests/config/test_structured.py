"""The form of answers: what is taken, and where a wrong one is told to be wrong."""

from typing import Any

import msgspec
import pytest

from caption_flow.config import JobConfig, StageConfig, VllmConfig, load_job
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.config.fields import OWN
from caption_flow.config.structured import StructuredOutputs
from caption_flow.dataset.columns import ColumnSchema, arrow_type, infer
from caption_flow.dataset.rows import arrow_schema
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

FORM = "pipeline.yaml: vllm.structured_outputs"
NO_REMOTE = 'expected a part of this schema, like "#/$defs/NAME": none is fetched'
SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {"shape": {"type": "string"}, "size": {"type": "integer"}},
}


def document(form: Any, **vllm: Any) -> str:
    return msgspec.json.encode({"vllm": {"structured_outputs": form} | vllm}).decode()


def of(name: str, schema: Any) -> dict[str, Any]:
    """A schema of one property."""
    return {"json": {"type": "object", "properties": {name: schema}}}


WRONG: list[tuple[Any, str]] = [
    ({}, f"{FORM} is empty; it needs one of json, choice, regex, grammar"),
    (
        {"json": {"color": "string", "size": "int"}},
        f"{FORM}.json has none of the keywords of a JSON schema, such as "
        "{type: object, properties: {color: {type: string}}}",
    ),
    (
        {"json": {"type": "object", "propertys": {}}},
        f'{FORM}.json has "propertys", which is no keyword; did you mean "properties"?',
    ),
    (
        {"json": SHAPE | {"required": ["colour"], "additionalProperties": False}},
        f'{FORM}.json.required[0] is "colour", which is no property there',
    ),
    (
        of("items", {"type": "object", "properties": {"color": {}}, "required": ["colour"]}),
        f'{FORM}.json.properties.items.required[0] is "colour", which is no property there; '
        'did you mean "color"?',
    ),
    (
        of("glasses", {"type": "string", "enum": ["maybe", True, False]}),
        f'{FORM}.json.properties.glasses.enum[1] is true, but type is "string"; put it in quotes',
    ),
    (
        of("count", {"type": ["integer", "null"], "enum": [1, "2", None]}),
        f'{FORM}.json.properties.count.enum[1] is "2", but type is a list',
    ),
    (
        {"json": SHAPE, "regex": "a"},
        f"{FORM}.regex must be given alone: one of json, choice, regex, grammar",
    ),
    ({"jsn": SHAPE}, f'{FORM} has no field "jsn"; did you mean "json"?'),
    ({"json": "{"}, f'{FORM}.json is "{{"; expected a mapping'),
    ({"json": True}, f"{FORM}.json is true; expected a mapping"),
    (
        of("size", {"type": "intger"}),
        f'{FORM}.json.properties.size.type is "intger"; expected one of array, boolean, integer, '
        'null, number, object, string; did you mean "integer"?',
    ),
    (
        of("size", {"minimum": "3"}),
        f'{FORM}.json.properties.size.minimum is "3"; expected number',
    ),
    (
        of("size", {"pattern": "("}),
        f'{FORM}.json.properties.size.pattern is "("; expected a regex, as Python reads it',
    ),
    (
        {"json": {"propertes": {}}},
        f'{FORM}.json has "propertes", which is no keyword; did you mean "properties"?',
    ),
    (
        of("size", {"items": {"maxlength": 3}}),
        f'{FORM}.json.properties.size.items has "maxlength", which is no keyword; '
        'did you mean "maxLength"?',
    ),
    (
        of("a", {"$ref": "https://example.com/schema.json"}),
        f'{FORM}.json.properties.a.$ref is "https://example.com/schema.json"; {NO_REMOTE}',
    ),
    (
        of("a", {"$ref": "file:///etc/passwd"}),
        f'{FORM}.json.properties.a.$ref is "file:///etc/passwd"; {NO_REMOTE}',
    ),
    (
        {"json": {"$ref": "#/$defs/Shpe", "$defs": {"Shape": SHAPE}}},
        f'{FORM}.json.$ref is "#/$defs/Shpe", and there is no schema; '
        'did you mean "#/$defs/Shape"?',
    ),
    (
        {"json": {"dependencies": {"b": ["c"], "a": {"$ref": "b.json"}}}},
        f'{FORM}.json.dependencies.a.$ref is "b.json"; {NO_REMOTE}',
    ),
    ({"json": {"$ref": "#"}}, f"{FORM}.json refers to itself without end"),
    (
        of("a", {"anyOf": [{"$ref": "#/properties/a"}, {"type": "null"}]}),
        f"{FORM}.json.properties.a refers to itself without end",
    ),
    (
        of("a", {"$id": "https://example.com/a"}),
        f"{FORM}.json.properties.a.$id is given; only the whole schema may have one",
    ),
    (
        of("a", {"$dynamicRef": "#node"}),
        f"{FORM}.json.properties.a.$dynamicRef is given; refer to a part of this schema with $ref",
    ),
    (
        {"json": {"$schema": "http://json-schema.org/draft-04/schema#"}},
        f'{FORM}.json.$schema is "http://json-schema.org/draft-04/schema#"; expected '
        '"https://json-schema.org/draft/2020-12/schema", or leave it out',
    ),
    (
        {"json": {"description": "x" * 65536}},
        f"{FORM}.json is over 64 KiB, too long for the form of an answer",
    ),
    (
        of("", {}),
        f"{FORM}.json.properties has one without a name; it becomes a column and needs one",
    ),
    (
        of("x" * 101, {}),
        f"{FORM}.json.properties.{'x' * 100}… has a name of over 100 characters; "
        "it becomes a column",
    ),
    (
        of("a\nb", {}),
        f"{FORM}.json.properties has a name with characters that cannot be shown; "
        "it becomes a column",
    ),
    (
        of("attempts", {}),
        f'{FORM}.json.properties.attempts is "attempts", the name of a column that every row has; '
        "choose another",
    ),
    (
        of("captions", {}),
        f"{FORM}.json.properties.captions becomes a column of the same name as output_field; "
        "rename one of them",
    ),
    ({"choice": []}, f"{FORM}.choice has 0 of them; there must be two or more to choose from"),
    ({"choice": ["a"]}, f"{FORM}.choice has 1 of them; there must be two or more to choose from"),
    ({"choice": ["a", "b", "a"]}, f'{FORM}.choice[2] is "a", like choice[0]'),
    ({"choice": ["a", ""]}, f"{FORM}.choice[1] is empty; expected text"),
    (
        {"regex": "(a"},
        f'{FORM}.regex is "(a", which Python cannot read (missing ), unterminated subpattern '
        "at position 0)",
    ),
    ({"grammar": 5}, f"{FORM}.grammar is 5; expected text; put it in quotes"),
]


@pytest.mark.parametrize(("form", "told"), WRONG, ids=lambda value: str(value)[:50])
def test_wrong_form_is_refused_with_its_place(write: Write, form: Any, told: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(document(form)))

    assert str(refused.value).splitlines()[0] == told


def test_schema_of_answers_takes_one_prompt(write: Write):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(document({"json": SHAPE}, inference_prompts=["a", "b"])))

    assert str(refused.value) == (
        "pipeline.yaml: vllm.inference_prompts has 2, but where answers follow a JSON schema "
        "there is one: its answer becomes columns"
    )


def stage(name: str, **given: Any) -> dict[str, Any]:
    return {"name": name, "prompts": ["?"]} | given


CLASHES: list[tuple[list[dict[str, Any]], str]] = [
    (
        [stage("a", output_field="extra")],
        'vllm.stages[0].output_field is "extra", the name of a column that every row has; '
        "choose another",
    ),
    (
        [stage("a", output_field="shape"), stage("b", structured_outputs={"json": SHAPE})],
        "vllm.stages[1].structured_outputs.json.properties.shape becomes a column of the same name "
        "as stages[0].output_field; rename one of them",
    ),
    (
        [
            stage("a", structured_outputs={"json": SHAPE}),
            stage("b", structured_outputs=of("size", {})),
        ],
        "vllm.stages[1].structured_outputs.json.properties.size becomes a column of the same name "
        "as stages[0].structured_outputs.json.properties.size; rename one of them",
    ),
    (
        [stage("a", structured_outputs={"json": SHAPE}, prompts=["a", "b", "c"])],
        "vllm.stages[0].prompts has 3, but where answers follow a JSON schema there is one: "
        "its answer becomes columns",
    ),
]


@pytest.mark.parametrize(("stages", "told"), CLASHES)
def test_columns_of_one_name_are_refused_with_both_places(
    write: Write, stages: list[dict[str, Any]], told: str
):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(msgspec.json.encode({"vllm": {"stages": stages}}).decode()))

    assert str(refused.value) == f"pipeline.yaml: {told}"


def test_schema_of_the_section_is_of_one_stage_at_most(write: Write):
    with pytest.raises(ConfigError, match=r'shape would be a column of the stages "a" and "b"; '):
        load_job("feed", write(document({"json": SHAPE}, stages=[stage("a"), stage("b")])))


def test_our_own_columns_are_those_of_a_part():
    names = arrow_schema(infer([], [])).names

    assert tuple(names) == OWN


def test_an_output_may_be_that_of_several_stages():
    stages = tuple(StageConfig(name=name, prompts=("?",)) for name in "ab")

    assert len(VllmConfig(stages=stages).resolved_stages()) == 2


KINDS: list[tuple[Any, str]] = [
    ({"type": "string"}, "string"),
    ({"enum": ["a", "b"]}, "string"),
    ({"enum": ["a", None]}, "string"),
    ({"enum": ["a", 1]}, "json"),
    ({"const": True}, "bool"),
    ({"type": "integer"}, "int64"),
    ({"type": "number"}, "double"),
    ({"type": ["integer", "number"]}, "double"),
    ({"type": "boolean"}, "bool"),
    ({"type": ["string", "null"]}, "string"),
    ({"type": ["string", "integer"]}, "json"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "int64"),
    ({"oneOf": [{"const": None}, {"$ref": "#/$defs/Color"}]}, "string"),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "json"),
    ({"allOf": [{"$ref": "#/$defs/Color"}], "description": "as pydantic has it"}, "string"),
    ({"type": "string", "anyOf": [{"minLength": 3}]}, "string"),
    ({"type": "array", "items": {"type": "string"}}, "list<string>"),
    ({"type": "array", "items": {"$ref": "#/$defs/Color"}}, "list<string>"),
    ({"type": ["array", "null"], "items": {"type": ["number", "null"]}}, "list<double>"),
    ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, "json"),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}}, "json"),
    ({"type": "array"}, "json"),
    ({"$ref": "#/$defs/Tree"}, "json"),
    ({"type": "object", "properties": {"a": {}}}, "json"),
    ({}, "json"),
    (True, "json"),
    ({"type": "null"}, "json"),
]


@pytest.mark.parametrize(("schema", "kind"), KINDS, ids=lambda value: str(value)[:40])
def test_property_becomes_a_column_of_its_kind(schema: Any, kind: str):
    form = of("a", schema)
    form["json"]["$defs"] = {
        "Color": {"enum": ["red", "blue"]},
        "Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
    }

    assert StructuredOutputs(**form).fields == {"a": kind}
    assert arrow_type(kind)


def test_properties_are_found_behind_a_reference():
    schema = {"$ref": "#/definitions/A~1B", "definitions": {"A/B": SHAPE}}

    assert StructuredOutputs(json=schema).fields == {"shape": "string", "size": "int64"}


@pytest.mark.parametrize(
    "form",
    [{"json": {"type": "array"}}, {"json": {}}, {"choice": ("a", "b")}, {"regex": "a"}],
)
def test_other_forms_have_no_columns(form: Any):
    assert StructuredOutputs(**form).fields == {}


def test_fields_of_all_stages_are_told_to_the_sinks():
    stages = (
        StageConfig(name="a", prompts=("?",), structured_outputs=StructuredOutputs(json=SHAPE)),
        StageConfig(
            name="b",
            prompts=("?",),
            structured_outputs=StructuredOutputs(**of("ok", {"const": True})),
        ),
    )
    told = broadcast(JobConfig(engine="simulated", vllm=VllmConfig(stages=stages)))

    assert Broadcast.decode(told.encode()).fields == {
        "shape": "string",
        "size": "int64",
        "ok": "bool",
    }
    assert ColumnSchema((), {}, told.fields)


def test_properties_reach_the_workers_in_the_order_of_the_schema(write: Write):
    """It is the order in which a model answers, and what it has said it goes by."""
    names = ["why", "shape", "colour"]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    config = load_job("feed", write(document({"json": schema}, model="m"))).config
    told = Broadcast.decode(broadcast(config).encode())

    form = told.stages[0].structured_outputs
    assert form is not None
    assert form.json is not None
    assert list(form.json["properties"]) == names
