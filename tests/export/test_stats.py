"""What is counted of rows is what anybody would count by hand."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.columns import LATER, ColumnSchema
from caption_flow.dataset.rows import arrow_schema
from caption_flow.export import stats
from caption_flow.export.choice import Choice
from caption_flow.export.report import share, stats_text
from caption_flow.export.stats import Stats, Summary, Texts
from caption_flow.model import Credit
from tests.view.parts import SCHEMA, numbered, write_part

LISTS = pa.list_(pa.string())
Rows = list[dict[str, Any]]


def made_up() -> Rows:
    """Rows of two models and settings; some lack a text, or all of them."""
    rows = numbered(0, 300)
    for n, row in enumerate(rows):
        row["shard"] = f"{n // 100:05}"
        row["model"] = "tiny" if n % 3 else "large"
        row["settings_version"] = 1 + n // 200
        row["captions"] = [[], [""]][n % 2] if n % 7 == 0 else ["ä" * (n % 11), "short"]
        row["tags"] = None if n % 14 == 0 else row["tags"]
        row["captioned_at"] += timedelta(minutes=-5 if n == 250 else n)
    return rows


def counted(rows: Rows, schema: pa.Schema = SCHEMA, size: int = 77) -> Summary:
    found = Stats()
    for batch in pa.Table.from_pylist(rows, schema=schema).to_batches(max_chunksize=size):
        found.add(batch)
    return found.result()


def texts(rows: Rows, column: str) -> Texts:
    lengths = [len(text) for row in rows for text in row[column] or () if text]
    some = sum(any(row[column] or ()) for row in rows)
    mean = sum(lengths) / len(lengths)
    return Texts(some, len(lengths), min(lengths), pytest.approx(mean), max(lengths))


def credits_of(rows: Rows) -> dict[str, Credit]:
    found: dict[str, Credit] = {}
    for stage in (stage for row in rows for stage in row["stages"]):
        name = stage["contributor"] or ""
        more = Credit(1, stage["prompt_tokens"], stage["output_tokens"])
        found[name] = found.get(name, Credit()) + more
    return found


def test_counts_are_exact() -> None:
    rows = made_up()
    found = counted(rows)

    assert found.rows == 300
    assert found.empty == sum(not any(row["captions"]) and not row["tags"] for row in rows) > 0
    assert found.outputs == {name: texts(rows, name) for name in ("captions", "tags")}
    assert (found.shards, found.more_shards) == (3, False)
    assert found.models == {"tiny": 200, "large": 100}
    assert found.settings_versions == {1: 200, 2: 100}
    assert found.stages == {"caption": 300, "tag": 300}
    assert found.finish_reasons == Counter(r for row in rows for r in row["finish_reasons"])
    assert found.quality_flags == {"caption:too_short": 3}
    assert found.contributors == credits_of(rows)
    assert found.image_bytes == sum(row["bytes"] for row in rows)
    assert (found.prompt_tokens, found.output_tokens) == (300 * 700, 300 * 60)
    times = [row["captioned_at"] for row in rows]
    assert (found.first, found.last) == (min(times), max(times))


def test_cuts_of_batches_make_no_difference() -> None:
    assert counted(made_up(), size=1000) == counted(made_up(), size=11)


def test_what_has_most_comes_first() -> None:
    assert list(counted(made_up()).models) == ["tiny", "large"]


def test_rows_without_stages_count_for_their_contributor() -> None:
    later = tuple(name for name in LATER if name != "stages")
    agreed = ColumnSchema(("captions",), {}, {}, later)
    found = counted(numbered(0, 50), arrow_schema(agreed))

    assert not found.stages
    assert sum(one.captions for one in found.contributors.values()) == 50
    assert sum(one.output_tokens for one in found.contributors.values()) == 50 * 60


def test_columns_that_somebody_dropped_count_as_nothing() -> None:
    rows = [{"captions": ["a dog"]}, {"captions": None}]
    found = counted(rows, pa.schema([("captions", pa.large_list(pa.large_string()))]))

    assert (found.rows, found.empty, found.shards, found.first) == (2, 1, 0, None)
    assert found.outputs == {"captions": Texts(1, 1, 5, 5.0, 5)}


@pytest.mark.parametrize("fields", [(), ("year",)])
def test_as_many_rows_are_empty_as_an_export_would_leave_out(fields: tuple[str, ...]) -> None:
    """Also where captions are in other columns than stages wrote them to."""
    told = [["a", None], [""], [], None, ["", "b"], [None]]
    rows = [
        {"captions": ["x"], "tags": some, "title": title, "year": year}
        for some in told
        for title in ("", None, "é")
        for year in (None, 0)
    ]
    kinds = {"captions": LISTS, "tags": LISTS, "title": pa.string(), "year": pa.int64()}
    batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    choice = Choice(("tags", "title"), fields=fields)
    found = Stats(choice.outputs, choice.fields)
    found.add(batch.select(found.columns(batch.schema)))
    summary = found.result()

    assert summary.empty == choice.some(batch).to_pylist().count(False) > 0
    assert summary.outputs["tags"] == Texts(12, 12, 1, 1.0, 1)
    assert summary.outputs["title"] == Texts(12, 12, 1, 1.0, 1)


def test_shards_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_MOST_SHARDS", 2)
    found = counted(made_up())

    assert (found.shards, found.more_shards) == (2, True)
    assert "more than 2" in stats_text(found)


def test_only_columns_that_are_counted_need_be_read(tmp_path: Path) -> None:
    rows = made_up()
    part = pq.ParquetFile(write_part(tmp_path, "part-1", rows))
    found = Stats()
    columns = found.columns(part.schema_arrow)
    for batch in part.iter_batches(100, columns=columns):
        found.add(batch)

    assert found.result() == counted(rows)
    assert not {"id", "sha256", "source", "extra", "licence"}.intersection(columns)


def test_nothing_is_a_summary_too() -> None:
    found = Stats().result()

    assert found == Summary()
    assert stats_text(found).split() == ["rows", "0"]


def test_summary_is_json() -> None:
    found = counted(made_up())

    assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found


def test_text_names_nobody_who_wants_not_to_be() -> None:
    told = stats_text(counted(made_up()), {"ann", "bob"})

    assert "cleo" in told
    assert "(anonymous: 2)" in told
    assert "ann" not in told.replace("(anonymous", "")
    assert "bob" not in told


def test_text_holds_no_control_characters() -> None:
    rows = made_up()
    rows[0]["model"] = "evil\x1b[2J\nrows 9"

    assert "evil\\x1b[2J\\nrows 9 1" in stats_text(counted(rows))


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(1, 3, "33.3 %"), (1, 10_000, "<0.1 %"), (0, 10, "0.0 %"), (0, 0, "0.0 %")],
)
def test_a_share_that_is_there_never_looks_like_none(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said
