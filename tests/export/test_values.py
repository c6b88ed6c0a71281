"""Values: what JSON is told of a column, whatever its type, and of whichever rows of it."""

import json
import math
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.export.choice import Choice
from caption_flow.export.formats.jsonl import JsonLines
from caption_flow.export.ports import Rows
from caption_flow.export.values import rows, texts, values

moment = datetime(2026, 1, 31, 23, 59, 58, 123456, tzinfo=UTC)
LISTS = pa.list_(pa.string())
STAGES = pa.list_(pa.struct([("stage", pa.string()), ("at", pa.timestamp("us", tz="UTC"))]))
COLUMNS: dict[str, tuple[pa.DataType, list[Any], list[Any]]] = {
    "texts": (pa.string(), ["a", None, "\0é🦊"], ["a", None, "\0é🦊"]),
    "lists": (LISTS, [["a", None], None, []], [["a", None], None, []]),
    "large": (pa.large_list(pa.int64()), [[2**60], None, []], [[2**60], None, []]),
    "nested": (pa.list_(LISTS), [[["a"], None, []], None, []], [[["a"], None, []], None, []]),
    "times": (
        pa.timestamp("us", tz="UTC"),
        [moment, None, datetime(1969, 12, 31, tzinfo=UTC)],
        ["2026-01-31T23:59:58.123456Z", None, "1969-12-31T00:00:00.000000Z"],
    ),
    "seconds": (pa.timestamp("s"), [datetime(2026, 1, 1), None], ["2026-01-01T00:00:00", None]),
    "elsewhere": (
        pa.timestamp("ms", tz="Europe/Berlin"),
        [moment.replace(microsecond=0)],
        ["2026-01-31T23:59:58.000Z"],
    ),
    "stages": (
        STAGES,
        [[{"stage": "s", "at": moment}, None], None, [{"stage": None, "at": None}]],
        [
            [{"stage": "s", "at": "2026-01-31T23:59:58.123456Z"}, None],
            None,
            [{"stage": None, "at": None}],
        ],
    ),
    "nothing in it": (pa.struct([]), [{}, None], [{}, None]),
    "bytes": (pa.binary(), [b"+\xff", None], [b64encode(b"+\xff").decode(), None]),
    "days": (pa.date32(), [date(2026, 1, 31), None], ["2026-01-31", None]),
    "spans": (pa.duration("s"), [timedelta(seconds=90), None], ["PT90S", None]),
    "exact": (
        pa.decimal128(20, 2),
        [Decimal("1234567890123.45"), None],
        ["1234567890123.45", None],
    ),
    "pairs": (pa.map_(pa.string(), pa.int32()), [[("a", 1)], None], [[["a", 1]], None]),
    "boxes": (pa.list_(pa.float64(), 2), [[1.5, 2.0], None], [[1.5, 2.0], None]),
    "few": (pa.dictionary(pa.int8(), pa.string()), ["a", None, "a"], ["a", None, "a"]),
    "none": (pa.null(), [None, None], [None, None]),
    "truth": (pa.bool_(), [True, None, False], [True, None, False]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_of_any_rows_of_a_column(name: str):
    kind, given_, wanted = COLUMNS[name]
    column = pa.array([*given_, *given_], kind)
    said = [*wanted, *wanted]
    for start in range(len(said)):
        for stop in range(start, len(said) + 1):
            found = values(column.slice(start, stop - start))
            assert msgspec.json.decode(msgspec.json.encode(found)) == said[start:stop]


def test_numbers_that_json_does_not_know_are_nothing():
    batch = pa.record_batch({"score": [math.nan, math.inf, 1.5], "exact": [2**63 - 1, -1, None]})

    assert json.loads(msgspec.json.encode(rows(batch))) == [
        {"score": None, "exact": 2**63 - 1},
        {"score": None, "exact": -1},
        {"score": 1.5, "exact": None},
    ]


def test_texts_that_are_json_are_read_and_others_stay_as_they_are():
    batch = pa.record_batch({"info": ['{"a": [1e400, 1]}', "no JSON {", None, "5", "NaN"]})
    found = [row["info"] for row in rows(batch, {"info"})]

    assert found == ['{"a": [1e400, 1]}', "no JSON {", None, 5, "NaN"]


def test_json_as_deep_as_it_may_be_is_written_in_some_way():
    """A stranger may nest values as deep as a feeder can read them."""
    deep = ["[" * levels + "]" * levels for levels in range(100, 1100, 7)]
    batch = pa.record_batch({"info": deep})
    found = JsonLines({"info"}).lines(Rows(batch, batch.slice(0, 0)))

    assert found.startswith(b'{"info":[[')
    assert len(found.splitlines()) == len(deep)
    assert found.endswith(b']"}\n')


lists = st.lists(st.none() | st.lists(st.none() | st.sampled_from(["", "a", "é"]), max_size=3))


@settings(deadline=None)
@given(lists, st.integers(0, 3))
def test_rows_with_a_caption_are_those_that_have_a_text(some: list[Any], start: int):
    column = pa.array(some, LISTS).slice(start)
    batch = pa.RecordBatch.from_arrays([column], names=["captions"])
    wanted = [[text for text in row or () if text is not None] for row in some[start:]]

    assert Choice(("captions",)).some(batch).to_pylist() == [any(row) for row in wanted]
    assert texts(column) == wanted
