"""Conditions: the rows that they choose are those that Python would, and nothing of them is run."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.errors import ConfigError
from caption_flow.export.where import Condition
from tests.export.command import exported, files, refused
from tests.export.makers import plain

Row = dict[str, Any]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("width", pa.int32()),
        ("score", pa.float64()),
        ("model", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("ok", pa.bool_()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("my name", pa.large_string()),
    ]
)
WORDS = ["", "a", "dog", "a Dog", "hot dog\n", "é"]
words = st.sampled_from(WORDS)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": words,
            "width": st.none() | st.integers(-3, 3) | st.sampled_from([512, 2**31 - 1]),
            "score": st.none() | st.sampled_from([-1.5, 0.0, 0.5, 512.0]),
            "model": st.none() | words,
            "captions": st.none() | st.lists(st.none() | words, max_size=3),
            "ok": st.none() | st.booleans(),
            "at": st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
            "my name": st.none() | words,
        }
    ),
    max_size=8,
)
moments = datetime(2025, 1, 1, tzinfo=UTC)


def some(row: Row) -> list[str]:
    return [text for text in row["captions"] or () if text is not None]


def less(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one < other


CONDITIONS: dict[str, Callable[[Row], object]] = {
    "width >= 2": lambda r: r["width"] is not None and r["width"] >= 2,
    "2 <= width": lambda r: r["width"] is not None and r["width"] >= 2,
    "width > -1": lambda r: less(-1, r["width"]),
    "-2 < width <= 2": lambda r: r["width"] is not None and -2 < r["width"] <= 2,
    "not width < 2": lambda r: not less(r["width"], 2),
    "width": lambda r: r["width"],
    "not width": lambda r: not r["width"],
    "score": lambda r: r["score"],
    "ok": lambda r: r["ok"],
    "not ok": lambda r: not r["ok"],
    "ok == True": lambda r: r["ok"] is True,
    "ok != True": lambda r: r["ok"] is not True,
    "model": lambda r: r["model"],
    "captions": lambda r: r["captions"],
    "not captions": lambda r: not r["captions"],
    "width == None": lambda r: r["width"] is None,
    "width != None": lambda r: r["width"] is not None,
    "model is None": lambda r: r["model"] is None,
    "captions is not None": lambda r: r["captions"] is not None,
    "width == 512 or score == 512": lambda r: 512 in {r["width"], r["score"]},
    "width and score": lambda r: r["width"] and r["score"],
    "width == score": lambda r: r["width"] is not None and r["width"] == r["score"],
    "width < score": lambda r: less(r["width"], r["score"]),
    "model == 'dog'": lambda r: r["model"] == "dog",
    "model != 'dog'": lambda r: r["model"] != "dog",
    "model > 'a'": lambda r: less("a", r["model"]),
    "model in ['dog', 'é']": lambda r: r["model"] in {"dog", "é"},
    "model not in ('dog', 'é')": lambda r: r["model"] not in {"dog", "é"},
    "model in ['dog', None]": lambda r: r["model"] == "dog",
    "model not in [None]": lambda _: True,
    "None in [None]": lambda _: False,
    "width in {-1, 2}": lambda r: r["width"] in {-1, 2},
    "'dog' in model": lambda r: "dog" in (r["model"] or ""),
    "'dog' not in model": lambda r: "dog" not in (r["model"] or ""),
    "'dog' in captions": lambda r: "dog" in some(r),
    "'dog' not in captions": lambda r: "dog" not in some(r),
    "model in captions": lambda r: r["model"] in some(r),
    "model not in captions": lambda r: r["model"] not in some(r),
    "contains(model, 'og')": lambda r: "og" in (r["model"] or ""),
    "contains(captions, 'og')": lambda r: any("og" in text for text in some(r)),
    "contains(captions, '')": some,
    r"matches(captions, r'(?i)\bDOG$')": lambda r: any(
        re.search(r"(?i)\bDOG\Z", text) for text in some(r)
    ),
    r"matches(model, '^\w+$')": lambda r: re.search(r"\A[a-z]+\Z", r["model"] or ""),
    "lower(model) == 'a dog'": lambda r: (r["model"] or "").lower() == "a dog",
    "len(captions) == 2": lambda r: len(r["captions"] or ()) == 2,
    "len(model) < 3": lambda r: len(r["model"] or "") < 3,
    "len('abc') == 3": lambda _: True,
    "width * 2 + 1 == 5": lambda r: r["width"] == 2,
    "width / -2 == -0.5": lambda r: r["width"] == 1,
    "width * width >= 262144": lambda r: less(262143, r["width"] and r["width"] ** 2),
    "-(width + 1) < -512": lambda r: less(511, r["width"]),
    "score / 0 > 1": lambda r: less(0, r["score"]),
    "width - score > 0": lambda r: less(r["score"], r["width"]),
    "at >= '2025-01-01'": lambda r: r["at"] is not None and r["at"].replace(tzinfo=UTC) >= moments,
    "'2025-01-01T01:00:00+01:00' > at": lambda r: less(
        r["at"] and r["at"].replace(tzinfo=UTC), moments
    ),
    "at": lambda r: r["at"],
    "column('my name') == 'dog'": lambda r: r["my name"] == "dog",
    "column('my name')": lambda r: r["my name"],
    "True": lambda _: True,
    "not 1 + 1": lambda _: False,
    "1 in [1, 2] and 'a' not in 'dog'": lambda _: True,
    "(" * 60 + "ok" + ")" * 60: lambda r: r["ok"],
}


@settings(max_examples=25, deadline=None)
@given(rows)
def test_rows_are_those_that_python_chooses(some_rows: list[Row]):
    batch = pa.RecordBatch.from_pylist(some_rows, schema=SCHEMA)
    for text, holds in CONDITIONS.items():
        found = Condition(text, SCHEMA).holds(batch).to_pylist()
        assert found == [bool(holds(row)) for row in some_rows], text


BAD = {
    "widht > 1": 'no column is called "widht"; did you mean "width"?',
    "width = 1": "cannot be read",
    "model == a/b": 'no column is called "a"',
    "model.upper() == 'A'": 'there is no function "model.upper"',
    "model.__class__": "is not understood",
    "model[0]": "is not understood",
    "__import__('os').system('touch ran')": "there is no function",
    "eval('1')": 'there is no function "eval"',
    "open('ran', 'w')": 'there is no function "open"',
    "(lambda: 1)()": "there is no function",
    "[width for width in captions]": "is not understood",
    "[[[0] * 10 ** 9] * 10 ** 9]": "stands only after",
    "width in [10 ** 9 * 10 ** 9]": "is not understood",
    "10 ** 10 ** 10 > width": "is not understood",
    "'a' * 1000000000 == model": "has no kernel",
    "1 << 100000000000 > width": "is not understood",
    "f'{width}'": "is not understood",
    "(width := 1)": "is not understood",
    "width if ok else score": "is not understood",
    "{1: 2}": "is not understood",
    "*captions": "cannot be read",
    "width > '1'": "has no kernel",
    "captions == 'a'": "has no kernel",
    "-model": "has no kernel",
    "captions == []": 'a list as "[]" stands only after "in"',
    "width == [512]": 'a list as "[512]" stands only after "in"',
    "len(['a', 'b']) == 2": "stands only after",
    "[width, 1]": "stands only after",
    "width in [[1]]": "stands only after",
    "at in ['yesterday']": "Invalid isoformat string",
    "at > 'yesterday'": "Invalid isoformat string",
    "matches(model, '(')": "Invalid regular expression",
    "matches(model, '" + "(a{1000}){1000}" + "')": "Invalid regular expression",
    "contains(captions, 5)": "must be a text in quotes",
    "contains(captions)": "missing 1 required positional argument",
    "contains(captions, part='a')": 'there is no function "contains"',
    "width is 5": '"is" goes with None only',
    "9" * 400 + " > width": "",
    "9" * 5000: "cannot be read",
    "model == '\udcff'": "cannot be read",
    "model == 'a\0'": "cannot be read",
    "(" * 1000 + "ok" + ")" * 1000: "cannot be read",
    "not " * 900 + "ok": "it has more than 1,000 terms",
    "-" * 499 + "width": "",
    "-" * 5000 + "1": "",
    "ok or " * 2000 + "ok": "longer than 10,000 characters",
    " ": "cannot be read",
    "width\nscore": "cannot be read",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_condition_is_told_in_a_sentence(text: str):
    with pytest.raises(ConfigError, match=r"\A--where: ") as refusal:
        deep(lambda: Condition(text, SCHEMA), 40)

    assert BAD[text] in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("text", ["n * n > 1", "n + 1 > 1", "-2 - n > 1", "-(-n - 1) > 1"])
def test_number_that_grows_too_large_is_told_and_never_wraps_round(text: str):
    batch = pa.record_batch({"n": pa.array([2**63 - 1], pa.int64())})

    with pytest.raises(ConfigError, match="larger than 64 bits"):
        Condition(text, batch.schema).holds(batch)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_texts_are_times_beside_times_of_any_unit_and_zone(unit: str, zone: str | None):
    """A time without a zone is one of UTC."""
    column = pa.array([datetime(2025, 1, 1), datetime(2026, 1, 1), None], pa.timestamp("s"))
    batch = pa.record_batch({"at": column.cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))})
    holds = {
        "at > '2025-01-01T08:00:00+08:00'": [False, True, False],
        "at >= '2025-01-01'": [True, True, False],
        "at < '2025-01-01T00:00:00.5'": [True, False, False],
        "at in ['2025-01-01', None, '2025-12-31T19:00:00-05:00']": [True, True, False],
        "at not in ('2025-01-01', '2025-01-02')": [False, True, True],
        "at in []": [False, False, False],
    }
    for text, wanted in holds.items():
        assert Condition(text, batch.schema).holds(batch).to_pylist() == wanted, text


leaves = st.sampled_from([*SCHEMA.names[:-1], "1", "-1", "0.5", "'a'", "None", "True", "b'x'"])
terms = st.recursive(
    leaves,
    lambda one: st.one_of(
        st.tuples(
            one,
            st.sampled_from(["<", ">=", "==", "!=", "in", "is", "and", "or", "+", "-", "*", "/"]),
            one,
        ).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(one, one).map(lambda two: f"[{two[0]}, {two[1]}]"),
        st.tuples(st.sampled_from(["not ", "-", "len", "lower", "column"]), one).map(
            lambda two: f"({two[0]}({two[1]}))"
        ),
        st.tuples(st.sampled_from(["contains", "matches"]), one, one).map(
            lambda three: f"{three[0]}({three[1]}, {three[2]})"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(terms, rows)
def test_any_condition_is_refused_or_holds_for_each_row_by_itself(text: str, some_rows: list[Row]):
    batch = pa.RecordBatch.from_pylist(some_rows, schema=SCHEMA)
    try:
        condition = Condition(text, SCHEMA)
        whole = condition.holds(batch).to_pylist()
    except ConfigError as exc:
        assert str(exc).startswith("--where: ")  # noqa: PT017 - either is right
        return
    single = [condition.holds(batch.slice(row, 1)).to_pylist() for row in range(len(some_rows))]
    assert [[holds] for holds in whole] == single
    assert set(whole) <= {True, False}


def deep(work: Callable[[], object], levels: int) -> object:
    """Do this with as much of the stack in use as where a command is run."""
    return deep(work, levels - 1) if levels else work()


def test_condition_as_deep_as_may_be_is_worked_out_or_refused():
    batch = pa.RecordBatch.from_pylist([{"ok": True}], schema=SCHEMA)
    for depth in range(400, 500, 9):
        try:
            found = Condition("not " * depth + "ok", SCHEMA).holds(batch).to_pylist()
        except ConfigError as exc:
            assert "nested too deep" in str(exc)  # noqa: PT017 - either is right
        else:
            assert found == [depth % 2 == 0]


def test_nothing_of_a_condition_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    plain(tmp_path / "photos", 0, [{"id": "1", "captions": ["x"]}])
    for text in ("__import__('os').system('touch ran')", "open('ran', 'w')", "id.format(id)"):
        told = refused(tmp_path / "photos", "-o", tmp_path / "new" / "out.jsonl", "--where", text)
        assert told.startswith("Error: --where: ")

    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


def test_condition_that_fails_on_a_row_leaves_nothing(tmp_path: Path):
    """As where a text in the column is no number."""
    rows = [{"id": f"{n}", "captions": ["x"], "year": year} for n, year in enumerate(("1", "?"))]
    plain(tmp_path / "photos", 0, rows, year=pa.string())
    arguments = ("--where", "year / 2 > 1", "-o", tmp_path / "out" / "x.jsonl")
    told = refused(tmp_path / "photos", *arguments)

    assert "--where: year / 2 > 1: Failed to parse string: '?'" in told
    assert not (tmp_path / "out").exists()


def test_conditions_go_with_what_is_exported(tmp_path: Path):
    """The column of the condition is not among those that are written."""
    rows = [{"id": f"{n}", "captions": ["x"], "year": n} for n in range(40)]
    plain(tmp_path / "photos", 0, rows, year=pa.int64())
    arguments = ("--columns", "id", "--where", "year in [3, 30] or year == 39", "--limit", 2)
    exported(tmp_path / "photos", *arguments, "-o", tmp_path / "out" / "x")

    assert files(tmp_path / "out") == {"x": b'{"id":"3"}\n{"id":"30"}\n'}
