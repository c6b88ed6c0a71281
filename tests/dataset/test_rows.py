"""Rows: what stands in a part, and under which name."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.rows import arrow_schema, column_names, table
from caption_flow.model import Caption
from tests.made import caption, outcome


def row(of: Caption, agreed: ColumnSchema) -> dict[str, Any]:
    """The one row of a caption."""
    [made] = table([of], agreed, arrow_schema(agreed)).to_pylist()
    return made


def test_a_sample_column_named_as_ours_gets_a_prefix():
    agreed = ColumnSchema(("captions",), {"model": "string", "captions": "int64", "mine": "bool"})

    assert column_names(agreed) == {
        "model": "column_model",
        "captions": "column_captions",
        "mine": "mine",
    }


def test_a_prefixed_name_gives_way_to_a_sample_column_of_that_name():
    agreed = ColumnSchema((), {"id": "string", "column_id": "string"})

    made = row(caption(1, columns={"id": "a", "column_id": "b"}), agreed)

    assert (made["column_column_id"], made["column_id"]) == ("a", "b")


def test_our_own_columns_are_not_touched_by_a_sample_column_of_that_name():
    agreed = ColumnSchema(("captions",), {"id": "string", "captions": "string"})

    made = row(caption(1, columns={"id": "a", "captions": "b"}), agreed)

    assert (made["id"], made["captions"]) == ("00001.jpg", ["caption of 1"])


def test_a_column_without_a_value_in_any_row_keeps_its_type():
    agreed = ColumnSchema(("captions",), {"a": "list<double>"})

    written = table([caption(1)], agreed, arrow_schema(agreed))

    assert written.schema.field("a").type == pa.list_(pa.float64())


def test_a_row_without_misfits_has_no_extra():
    agreed = ColumnSchema(("captions",), {"a": "int64"})

    assert row(caption(1, columns={"a": 1}), agreed)["extra"] is None


def test_texts_of_an_output_that_came_after_the_agreement_stand_in_extra():
    made = row(caption(1, texts={"titles": ["A title"]}), ColumnSchema(("captions",)))

    assert json.loads(made["extra"]) == {"output_titles": ["A title"]}


def test_texts_of_two_stages_with_one_field_stand_side_by_side():
    one = caption(1, texts={"captions": ["first"]})
    both = msgspec.structs.replace(one, outcomes=(*one.outcomes, outcome({"captions": ["second"]})))

    assert row(both, ColumnSchema(("captions",)))["captions"] == ["first", "second"]


def test_tokens_are_those_of_all_stages():
    one = caption(1)
    both = msgspec.structs.replace(one, outcomes=(*one.outcomes, outcome()))

    made = row(both, ColumnSchema(("captions",)))

    assert (made["prompt_tokens"], made["output_tokens"]) == (10, 14)


def test_the_time_of_a_caption_is_utc():
    made = row(caption(1), ColumnSchema(("captions",)))

    assert made["captioned_at"] == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)


def test_no_contributor_is_null():
    assert row(caption(1), ColumnSchema(("captions",)))["contributor"] is None
