"""Templates: what stands in a prompt, and what of a sample is put there."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.errors import BadTemplate
from caption_flow.template import MOST, Field, base_name, escape, parse

ODD_TEXT = st.text(st.characters() | st.sampled_from("{}|:\x00\ud800\udfff\n%$"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**4000), 2**64])
    | st.floats()
    | ODD_TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(ODD_TEXT, inner), max_leaves=20
)


def fill(text: str, **columns: object) -> str:
    return parse(text).render(columns, {})


@pytest.mark.parametrize("text", ["{column:title}", "{col:title}", "{title}", "{ title }"])
def test_column_is_named_in_each_way(text: str):
    assert fill(f"About {text}.", title="a cat") == "About a cat."


def test_field_of_an_earlier_stage_hides_a_column_unless_that_is_named_as_one():
    found = parse("{title} {column:title}").render({"title": "column"}, {"title": "field"})

    assert found == "field column"


def test_name_may_have_spaces_dots_and_colons():
    assert fill("{column:a b.c:d}", **{"a b.c:d": "x"}) == "x"


def test_spaces_around_a_name_count_where_the_column_has_them():
    assert fill("{column: a}", **{" a": "with", "a": "without"}) == "with"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text\nas it is", "text\nas it is"),
        (0, "0"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", None, "b", 3, False], "a, b, 3, false"),
        ([["a", 1], {"b": None}], '["a",1], {"b":null}'),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        (2**70, str(2**70)),
        (None, ""),
        (math.nan, ""),
        ({"a": math.inf}, '{"a":null}'),
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        ("x" * MOST, "x" * MOST),
        ("x" * (MOST + 1), "x" * (MOST - 1) + "…"),
    ],
)
def test_value_is_written(value: object, text: str):
    assert fill("{it}", it=value) == text


@pytest.mark.parametrize("columns", [{}, {"it": None}, {"it": ""}, {"it": []}, {"it": [None]}])
def test_default_stands_for_what_is_missing_or_empty(columns: dict[str, object]):
    assert fill("<{it|a b: c}{column:it|d}{it}{it|}>", **columns) == "<a b: cd>"


@pytest.mark.parametrize("value", [0, False, " ", {}])
def test_default_does_not_stand_for_a_value(value: object):
    assert "default" not in fill("{it|default}", it=value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/a/1.jpg", "1.jpg"),
        ("photos/what?#100%25.jpg", "what?#100%25.jpg"),
        ("https://host/a/b%20c.jpg?size=1#top", "b c.jpg"),
        ("https://host/a/", "a"),
        ("https://host", ""),
        ("http://[::1/x.jpg", "x.jpg"),
        ("https://host/data/1.tar#dir/0001.jpg", "0001.jpg"),
        ("data/1.tar#a%20b.jpg", "a%20b.jpg"),
        ("", ""),
    ],
)
def test_file_is_called_as_its_path_or_url_says(source: str, name: str):
    assert base_name(source) == name


def test_filename_is_that_of_the_source_unless_an_earlier_field_is_called_so():
    both = parse("{filename} {column:filename}")
    columns = {"filename": "column"}

    assert both.render(columns, {}, "a/1.jpg") == "1.jpg column"
    assert both.render(columns, {"filename": "field"}, "a/1.jpg") == "field column"


def test_doubled_braces_are_braces():
    assert fill('{{"title": "{title}"}} {{{title}}}', title="x") == '{"title": "x"} {x}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Say {title", 'has a "{" without its "}", in "{title"'),
        ("{a {b}", 'has a "{" without its "}", in "{a {b}"'),
        ("Say title}", 'has a "}" without its "{", in "Say title}"'),
        ("{}", 'has "{}", which names nothing'),
        ("{ |x}", 'has "{ |x}", which names nothing'),
        ("{column:}", 'has "{column:}", which names nothing'),
        (
            "{colum:title}",
            'has "{colum:title}", where only "column" may stand before the colon; '
            'did you mean "{column:title}"? If not, write "{{" and "}}"',
        ),
        (
            "{title:untitled}",
            'has "{title:untitled}", where only "column" may stand before the colon; '
            'with a default it is "{title|untitled}"; write "{{" and "}}"',
        ),
        (
            'As {"title":\n "…"}',
            'has "{"title":  "…"}", where only "column" may stand before the colon; '
            'write "{{" and "}}" for braces that are meant as such',
        ),
    ],
)
def test_mistake_is_told_with_what_to_do(text: str, told: str):
    with pytest.raises(BadTemplate) as refused:
        parse(text)

    assert str(refused.value).startswith(told)
    assert len(str(refused.value).splitlines()) == 1


def test_fields_are_known_before_they_are_filled_in():
    assert parse("{a|b} and {col:c}").fields == (
        Field("a", default="b"),
        Field("c", column=True),
    )


@given(ODD_TEXT)
def test_escaped_text_comes_out_as_it_is(text: str):
    assert parse(escape(text)).render({}, {}) == text


@given(ODD_TEXT)
def test_any_text_is_read_or_refused(text: str):
    with suppress(BadTemplate):
        parse(text).render({}, {})


def test_number_too_long_to_be_written_is_cut():
    assert fill("{it}", it=10**9000) == "…"


@given(VALUES, VALUES)
def test_any_value_gives_sound_text_of_bounded_length(column: object, field: object):
    found = parse("{column:a}{b}{b|c}").render({"a": column}, {"b": field})

    assert found.encode()
    assert "\x00" not in found
    assert len(found) <= 3 * MOST


@given(st.dictionaries(ODD_TEXT, VALUES), ODD_TEXT)
def test_any_sample_can_be_filled_in(columns: dict[str, object], source: str):
    parse("{column:a}{b}{filename}").render(columns, {}, source).encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100))
def test_value_is_never_read_as_a_template(text: str):
    tricky = f"{{a}} {{column:b}} {{0.__class__}} {{{{ %s ${{b}} {text}"

    assert fill("{a}{column:a}", a=tricky, b="never") == tricky * 2


def test_value_that_nests_without_end_is_cut():
    value: object = "deep"
    for _ in range(100_000):
        value = [value]

    assert "…" in fill("{it}", it=value)
