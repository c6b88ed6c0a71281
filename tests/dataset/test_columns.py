"""Columns: whatever a sample brings is found again, in its column or in `extra`."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.dataset.columns import (
    JSON_KIND,
    ColumnSchema,
    arrow_type,
    as_json,
    infer,
    kind_of,
    split,
)
from caption_flow.dataset.rows import arrow_schema, column_names, table
from tests.made import caption

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63) - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["id", "column_id", "captions", "extra", "a", "a.b", "", "é", "model"])
COLUMNS = st.dictionaries(NAMES, VALUES, max_size=4)

unhurried = settings(deadline=None)


def kept(columns: dict[str, Any], agreed: ColumnSchema) -> dict[str, Any]:
    """Write one row and read a sample's columns back from it."""
    schema = arrow_schema(agreed)
    [row] = table([caption(1, columns=columns)], agreed, schema).to_pylist()
    found = json.loads(row["extra"]) if row["extra"] else {}
    for name, spelled in column_names(agreed).items():
        value = row[spelled]
        if value is not None:
            as_text = agreed.columns[name] == JSON_KIND
            found[name] = json.loads(value) if as_text else value
    return found


def said(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns without the nulls, which say nothing."""
    return {name: value for name, value in columns.items() if value is not None}


@unhurried
@given(first=st.lists(COLUMNS, max_size=3), later=COLUMNS)
def test_every_value_of_any_sample_is_found_again(
    first: list[dict[str, Any]], later: dict[str, Any]
):
    agreed = infer(["captions"], first)

    assert kept(later, agreed) == said(later)


@unhurried
@given(first=st.lists(COLUMNS, min_size=1, max_size=3))
def test_every_value_of_the_samples_that_set_the_schema_is_found_again(
    first: list[dict[str, Any]],
):
    agreed = infer(["captions"], first)

    for columns in first:
        assert kept(columns, agreed) == said(columns)


@unhurried
@given(first=st.lists(COLUMNS, max_size=3))
def test_a_schema_is_read_as_it_was_written(first: list[dict[str, Any]]):
    agreed = infer(["captions"], first)

    assert ColumnSchema.decode(agreed.encode()) == agreed


@unhurried
@given(first=st.lists(COLUMNS, max_size=3))
def test_no_two_columns_of_a_part_have_one_name(first: list[dict[str, Any]]):
    names = arrow_schema(infer(["captions", "column_id"], first)).names

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, None),
        ([], None),
        (True, "bool"),
        (1, "int64"),
        (2**63, JSON_KIND),
        (0.5, "double"),
        ("a", "string"),
        ([1, None], "list<int64>"),
        ([1, 0.5], "list<double>"),
        ([True, 1], JSON_KIND),
        ([None], JSON_KIND),
        ([[1]], JSON_KIND),
        ([[], 1], JSON_KIND),
        ({}, JSON_KIND),
    ],
)
def test_kind_of_a_value(value: Any, kind: str | None):
    assert kind_of(value) == kind


def test_integers_become_doubles_where_both_come():
    assert infer([], [{"a": 1}, {"a": 0.5}]).columns == {"a": "double"}


def test_kinds_that_do_not_mix_become_json():
    assert infer([], [{"a": 1}, {"a": "b"}]).columns == {"a": JSON_KIND}


def test_a_column_of_nulls_alone_is_no_column():
    assert infer([], [{"a": None}, {"a": []}]).columns == {}


def test_a_value_that_does_not_fit_stands_in_extra():
    agreed = ColumnSchema((), {"a": "int64"})

    assert split({"a": "text", "b": 1}, agreed.columns) == ({}, {"a": "text", "b": 1})


def test_an_integer_that_a_double_would_change_stands_in_extra():
    columns = {"a": 2**53 + 1, "b": [0.5, 2**60]}

    assert split(columns, {"a": "double", "b": "list<double>"}) == ({}, columns)


def test_a_value_nested_a_thousand_deep_is_json():
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]

    assert kind_of([deep]) == JSON_KIND


def test_json_is_text_in_the_part():
    assert arrow_type(JSON_KIND) == pa.string()


def test_json_keeps_integers_of_any_length():
    assert json.loads(as_json({"a": 10**40})) == {"a": 10**40}
