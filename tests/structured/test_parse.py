"""Answers of models: what has its form becomes columns, and nothing else does."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.config.structured import StructuredOutputs
from caption_flow.dataset.columns import split
from caption_flow.errors import Unparsed
from caption_flow.structured import parse
from caption_flow.worker.verdict import verdict

SHAPE = StructuredOutputs(
    json={
        "type": "object",
        "properties": {
            "shape": {"enum": ["circle", "square"]},
            "count": {"type": "integer"},
            "share": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
            "box": {"type": "object"},
        },
        "required": ["shape"],
        "$defs": {"Tag": {"type": "string", "maxLength": 10}},
    }
)
OBJECT = StructuredOutputs(json={"type": "object"})
ANYTHING = StructuredOutputs(json={"properties": {"a": {}}})


def test_properties_are_the_columns():
    columns = {"shape": "circle", "count": 3, "share": None, "tags": ["a"], "box": {"x": [1]}}

    assert parse(SHAPE, f" {json.dumps(columns | {'more': 1})}\n") == columns


def test_property_that_the_answer_leaves_out_is_no_column_of_it():
    assert parse(SHAPE, '{"shape": "square"}') == {"shape": "square"}


def test_whole_number_with_a_point_is_an_integer():
    fields = parse(SHAPE, '{"shape": "circle", "count": 3.0}')

    assert (fields["count"], type(fields["count"])) == (3, int)


def test_whole_numbers_of_a_list_are_integers():
    form = StructuredOutputs(
        json={"properties": {"n": {"type": "array", "items": {"type": ["integer", "null"]}}}}
    )

    [found] = parse(form, '{"n": [1.0, null, 2]}').values()

    assert [type(each) for each in found] == [int, type(None), int]


def test_other_forms_give_no_columns():
    assert parse(StructuredOutputs(choice=("a", "b")), "a") == {}
    assert parse(StructuredOutputs(regex="[ab]+"), "abba") == {}
    assert parse(StructuredOutputs(grammar="root ::= x"), "anything") == {}
    assert parse(StructuredOutputs(json={"type": "array"}), "[1]") == {}


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        (SHAPE, "", "no JSON that can be kept: Expecting value at character 1"),
        (SHAPE, "A red circle.", "no JSON that can be kept: Expecting value at character 1"),
        (SHAPE, '{"shape": "circle"', "no JSON that can be kept: Expecting ',' delimiter"),
        (SHAPE, '{"shape": "circle"} Done', "no JSON that can be kept: Extra data"),
        (SHAPE, '```json\n{"shape": "circle"}\n```', "no JSON that can be kept"),
        (SHAPE, '{"shape": "heart"}', r"\"\$\.shape\" does not fulfil \"enum\""),
        (SHAPE, "{}", 'the whole does not fulfil "required"'),
        (SHAPE, "[]", 'the whole does not fulfil "type"'),
        (SHAPE, '{"shape": "circle", "count": 1.5}', 'count" does not fulfil "type"'),
        (SHAPE, '{"shape": "circle", "tags": ["a", 1]}', r'tags\[1\]" does not fulfil "type"'),
        (SHAPE, '{"shape": "circle", "tags": ["12345678901"]}', 'does not fulfil "maxLength"'),
        (OBJECT, '{"a": 1, "a": 2}', "a key stands in it twice"),
        (OBJECT, '{"b": {"a": 1, "a": 1}}', "a key stands in it twice"),
        (OBJECT, '{"a": NaN}', "NaN is no number in JSON"),
        (OBJECT, '{"a": [-Infinity]}', "-Infinity is no number in JSON"),
        (OBJECT, '{"a": 1e999}', "a number is too large"),
        (OBJECT, '{"a": 9223372036854775808}', "a whole number is beyond 64 bits"),
        (OBJECT, '{"a": ' + "9" * 200_000 + "}", "a whole number is beyond 64 bits"),
        (OBJECT, '{"a": "\\ud800"}', "it holds half of a character"),
        (OBJECT, '{"\\udfff": 1}', "it holds half of a character"),
        (OBJECT, '{"a": "\ud800"}', "it holds half of a character"),
        (OBJECT, '{"a":' * 33 + "1" + "}" * 33, "nested over 32 levels deep"),
        (OBJECT, "[" * 100_000, "nested over 32 levels deep"),
        (OBJECT, '{"a": "' + "x" * 1_000_000 + '"}', "characters; 262,144 are the most"),
        (StructuredOutputs(choice=("a", "b")), "A", "none of the 2 choices"),
        (StructuredOutputs(choice=("a", "b")), "a ", "none of the 2 choices"),
        (StructuredOutputs(regex="[ab]+"), "abbac", "does not match the regex"),
        (StructuredOutputs(regex="a|ab"), "abc", "does not match the regex"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_answer_without_its_form_is_told(form: StructuredOutputs, text: str, why: str):
    with pytest.raises(Unparsed, match=why) as refused:
        parse(form, text)

    assert len(str(refused.value)) < 250
    assert str(refused.value).isprintable()
    assert verdict(refused.value).reason == "unparsed"
    assert verdict(refused.value).again


def test_key_of_a_stranger_is_told_in_few_words():
    form = StructuredOutputs(json={"additionalProperties": {"type": "integer"}})

    with pytest.raises(Unparsed) as refused:
        parse(form, json.dumps({"\n\x1b" * 10_000: "x"}))

    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


HOSTILE = [
    StructuredOutputs(regex=r"(a+)+b"),
    StructuredOutputs(regex=r"(a|aa)+b"),
    StructuredOutputs(regex=r"(a?){30}a{30}"),
    StructuredOutputs(regex=r"a*a*a*a*a*b"),
    StructuredOutputs(regex=r"(?:(?=(a*))\1)*b"),
    StructuredOutputs(json={"properties": {"a": {"pattern": "^(a+)+$"}}}),
    StructuredOutputs(json={"patternProperties": {"^(a+)+$": {}}}),
    StructuredOutputs(json={"properties": {"a": {"pattern": "a*a*a*b"}}}),
]


@pytest.mark.parametrize("form", HOSTILE, ids=str)
@pytest.mark.parametrize("length", [40, 3000, 100_000])
def test_text_that_a_pattern_would_take_for_ever_passes(form: StructuredOutputs, length: int):
    text = "a" * length + "!"
    begun = time.monotonic()

    parse(form, text if form.regex else json.dumps({"a": text, text: 1}))

    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("regex", "text", "fits"),
    [
        ("[A-Z][a-z]+", "Aaaa" * 1000, False),
        (r"\d{4}-\d{2}-\d{2}", "2024-01-01", True),
        (r"\d{4}-\d{2}-\d{2}", "2024-01-1", False),
        ("(red|green|blue), (small|large)", "red, large", True),
        ("(red|green|blue), (small|large)", "red, huge", False),
        ("(red|green|blue)?", "", True),
        (".*", "two\nlines", True),
        (".+!", "x" * 2000, False),
    ],
)
def test_pattern_that_is_soon_tried_is_tried(regex: str, text: str, fits: bool):
    form = StructuredOutputs(regex=regex)

    if fits:
        assert parse(form, text) == {}
    else:
        with pytest.raises(Unparsed):
            parse(form, text)


@pytest.mark.parametrize("item", ["{}", "[]", '{"a": 1}'])
def test_long_list_is_soon_looked_through_for_two_alike(item: str):
    form = StructuredOutputs(json={"uniqueItems": True})
    begun = time.monotonic()

    with pytest.raises(Unparsed, match="uniqueItems"):
        parse(form, "[" + ",".join([item] * 20_000) + "]")

    assert time.monotonic() - begun < 5


def test_list_without_two_alike_is_taken():
    assert parse(StructuredOutputs(json={"uniqueItems": True}), "[1, true, [1], {}]") == {}


def test_schema_that_calls_itself_is_followed_as_deep_as_an_answer_may_be():
    form = StructuredOutputs(
        json={
            "properties": {"a": {"$ref": "#"}, "b": {"type": "integer"}},
            "additionalProperties": False,
        }
    )

    assert parse(form, '{"a":' * 31 + '{"b": 1}' + "}" * 31)["a"]
    with pytest.raises(Unparsed):
        parse(form, '{"a":' * 31 + '{"b": "1"}' + "}" * 31)


def test_division_that_python_cannot_do_is_no_crash():
    form = StructuredOutputs(json={"properties": {"a": {"multipleOf": 1e-300}}})

    assert isinstance(parsed(form, '{"a": 1e300}'), Unparsed | dict)
    assert isinstance(parsed(form, '{"a": 9223372036854775807}'), Unparsed | dict)


def parsed(form: StructuredOutputs, text: str) -> dict[str, Any] | Unparsed:
    try:
        return parse(form, text)
    except Unparsed as exc:
        return exc


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
TEXTS = (
    st.text(max_size=50)
    | st.text(alphabet='{}[]",:0123456789eE.-\\u d8truefalsn', max_size=50)
    | VALUES.map(json.dumps)
    | st.fixed_dictionaries({"shape": st.sampled_from(["circle", "heart"])}).map(json.dumps)
)
FORMS = [
    SHAPE,
    OBJECT,
    ANYTHING,
    StructuredOutputs(choice=("a", "b")),
    StructuredOutputs(regex="(a|b)+.*"),
]


@settings(deadline=None)
@given(form=st.sampled_from(FORMS), text=TEXTS)
def test_any_text_gives_columns_of_their_kinds_or_is_unparsed(form: StructuredOutputs, text: str):
    found = parsed(form, text)

    if isinstance(found, Unparsed):
        assert str(found).isprintable()
    else:
        _, others = split(found, form.fields)
        assert others == {}


def test_schema_with_a_choice_at_each_level_takes_no_time():
    child = {"type": "object", "properties": {"c": {"$ref": "#/$defs/node"}}}
    node = {"anyOf": [child | {"required": ["x"]}, child | {"required": ["y"]}]}
    form = StructuredOutputs(json={"$ref": "#/$defs/node", "$defs": {"node": node}})
    begun = time.process_time()

    with pytest.raises(Unparsed, match="cannot be judged"):
        parse(form, '{"c":' * 30 + "{}" + "}" * 30)

    assert time.process_time() - begun < 20  # without a bound, for ever


def test_long_list_of_choices_takes_no_time():
    choices = [str(n) for n in range(3000)]
    form = StructuredOutputs(json={"type": "array", "items": {"enum": choices}})
    begun = time.process_time()
    parse(form, json.dumps(["2999"] * 20_000))

    assert time.process_time() - begun < 4  # one by one in Python, ten seconds


@pytest.mark.parametrize("answer", ["true", "[1]", '"1"', "2"])
def test_choice_is_compared_as_json_does(answer: str):
    form = StructuredOutputs(json={"enum": [1, [True]]})
    parse(form, "1.0")

    with pytest.raises(Unparsed):
        parse(form, answer)
