"""A row of a table is a sample, called by its number and its URL."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Listed, Raw, Reference
from feeders.urls import UrlsSource
from tests.feeders import tables
from tests.feeders.tables import text

ROWS = [{"image_url": f"https://example.com/{n}.jpg", "text": f"no. {n}"} for n in range(20)]


def source(path: Path, **options: Any) -> UrlsSource:
    return UrlsSource(SourceOptions(str(path), **options))


def names(made: UrlsSource, shard: str, after: Listed | None = None) -> list[Listed]:
    return list(made.names(shard, after))


def read_all(made: UrlsSource, shard: str) -> list[Raw]:
    return list(made.samples(shard, names(made, shard), made.fingerprint(shard)))


def name(number: int, url: str) -> str:
    return f"{number}-{hashlib.blake2b(url.encode()).hexdigest()[:8]}"


def test_a_row_is_a_sample_with_its_other_columns(tmp_path: Path):
    path = tables.by_csv(tmp_path / "t.csv", ROWS)
    url = "https://example.com/3.jpg"

    assert read_all(source(path), "t.csv")[3] == Raw(
        f"t.csv/{name(3, url)}", url, columns={"text": "no. 3"}, reference=Reference(url)
    )


def test_tables_are_shards(tmp_path: Path):
    tables.by_csv(tmp_path / "b.csv", ROWS)
    tables.by_arrow(tmp_path / "a.parquet", ROWS)
    text(tmp_path / "notes.md", "no table")

    assert list(source(tmp_path).shards()) == ["a.parquet", "b.csv"]
    assert list(source(tmp_path).shards("b")) == ["b.csv"]


FORMATS = [
    ("t.parquet", tables.by_arrow),
    ("t.csv", tables.by_csv),
    ("t.tsv", tables.by_csv),
    ("t.jsonl", tables.by_pandas),
    ("t.arrow", tables.by_arrow_stream),
]


@pytest.mark.parametrize(("shard", "write"), FORMATS)
def test_a_plan_goes_on_at_any_row(tmp_path: Path, shard: str, write):
    made = source(write(tmp_path / shard, ROWS))
    whole = names(made, shard)

    for at, last in enumerate(whole):
        assert names(made, shard, last) == whole[at + 1 :]


@pytest.mark.parametrize(("shard", "write"), FORMATS)
def test_any_samples_are_read_with_or_without_their_places(tmp_path: Path, shard: str, write):
    made = source(write(tmp_path / shard, ROWS))
    whole = names(made, shard)
    wanted = [whole[7], Listed(whole[2].name), whole[19]]

    found = made.samples(shard, wanted, made.fingerprint(shard))

    assert [raw.source for raw in found] == [ROWS[n]["image_url"] for n in (7, 2, 19)]


@pytest.mark.parametrize(("shard", "write"), FORMATS)
def test_rows_that_are_added_are_the_only_new_ones(tmp_path: Path, shard: str, write):
    before = names(source(write(tmp_path / shard, ROWS[:12])), shard)
    after = names(source(write(tmp_path / shard, ROWS)), shard)

    assert [one.name for one in after[:12]] == [one.name for one in before]


def test_another_url_is_another_sample(tmp_path: Path):
    [before] = names(source(text(tmp_path / "t.txt", "https://a.example/1.jpg\n")), "t.txt")
    [after] = names(source(text(tmp_path / "t.txt", "https://a.example/2.jpg\n")), "t.txt")

    assert before.name != after.name


def test_a_table_written_anew_is_planned_anew(tmp_path: Path):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS))
    planned, fingerprint = names(made, "t.csv"), made.fingerprint("t.csv")
    tables.by_csv(tmp_path / "t.csv", ROWS[5:])

    with pytest.raises(ShardChanged, match=r"t\.csv has changed since it was planned"):
        list(made.samples("t.csv", planned, fingerprint))


def test_a_table_written_anew_while_it_is_read_is_planned_anew(tmp_path: Path):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS))
    opened = made.samples("t.csv", names(made, "t.csv"), made.fingerprint("t.csv"))
    tables.by_csv(tmp_path / "t.csv", ROWS[5:])

    with pytest.raises(ShardChanged, match=r"t\.csv has changed since it was planned"):
        list(opened)


def test_a_table_that_is_gone_is_planned_anew(tmp_path: Path):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS).parent)
    (tmp_path / "t.csv").unlink()

    with pytest.raises(ShardChanged):
        made.fingerprint("t.csv")


@pytest.mark.parametrize("shard", ["../t.csv", "/etc/passwd", "", ".", "x/../t.csv", "t.csv/"])
def test_a_shard_made_up_leads_nowhere(tmp_path: Path, shard: str):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS).parent)

    with pytest.raises(SourceError):
        list(made.samples(shard, [Listed("0-00000000")]))


@pytest.mark.parametrize(
    "made_up", ["3-00000000", "3", "99-00000000", "-1-00000000", "x", "", "9" * 99, "../0-1"]
)
def test_a_name_made_up_is_told_and_the_others_are_read(tmp_path: Path, made_up: str):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS))
    good = names(made, "t.csv")[4]

    bad, read = made.samples("t.csv", [Listed(made_up), good])

    assert bad.error
    assert bad.id == f"t.csv/{made_up}"
    assert read.source == ROWS[4]["image_url"]


BAD = {
    "empty": "",
    "no URL": "cat.jpg",
    "ftp": "ftp://example.com/1.jpg",
    "file": "file:///etc/passwd",
    "secret": "https://me:secret@example.com/1.jpg",
    "long": "https://example.com/" + "x" * 9000,
    "control": "https://example.com/\x00.jpg",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD)
def test_a_bad_url_is_told_and_the_others_are_read(tmp_path: Path, url: str):
    rows = [{"url": url, "n": 1}, {"url": "https://example.com/1.jpg", "n": 2}]
    bad, good = read_all(source(tables.by_arrow(tmp_path / "t.parquet", rows)), "t.parquet")

    assert (bad.reason, bad.reference) == ("bad_url", None)
    assert bad.error
    assert bad.source == f"{tmp_path}/t.parquet#0"
    assert "secret" not in repr(bad)
    assert good.reference == Reference("https://example.com/1.jpg")


@pytest.mark.parametrize("value", [None, 3, ["https://example.com/1.jpg"], {"a": 1}, float("nan")])
def test_what_is_no_text_is_a_bad_url(tmp_path: Path, value: Any):
    path = tables.by_arrow(tmp_path / "t.parquet", [{"url": value, "n": 1}])

    assert [raw.reason for raw in read_all(source(path), "t.parquet")] == ["bad_url"]


def test_a_row_that_cannot_be_read_is_told(tmp_path: Path):
    path = text(
        tmp_path / "t.csv", "url,n\nhttps://example.com/1.jpg\nhttps://example.com/2.jpg,2\n"
    )

    assert [raw.error and raw.reason for raw in read_all(source(path), "t.csv")] == ["bad_row", ""]


@pytest.mark.parametrize("column", ["url", "URL", "image_url", "link"])
def test_the_usual_names_of_columns_are_found(tmp_path: Path, column: str):
    path = text(tmp_path / "t.csv", f"{column},n\nhttps://example.com/1.jpg,2\n")

    assert [raw.columns for raw in read_all(source(path), "t.csv")] == [{"n": "2"}]


@pytest.mark.parametrize(
    ("header", "options"), [("a,b", {}), ("url,link", {}), ("url,b", {"url_column": "c"})]
)
def test_a_column_of_urls_must_be_found(tmp_path: Path, header: str, options: dict[str, str]):
    made = source(text(tmp_path / "t.csv", f"{header}\n1,2\n"), **options)

    with pytest.raises(
        SourceError, match=f"with dataset_url_column; there are: {header.replace(',', ', ')}"
    ):
        names(made, "t.csv")


def test_columns_may_be_chosen(tmp_path: Path):
    path = tables.by_arrow(
        tmp_path / "t.parquet", [{"url": "https://example.com/1", "a": 1, "b": b"2"}]
    )

    assert [raw.columns for raw in read_all(source(path, columns=("a",)), "t.parquet")] == [
        {"a": 1}
    ]
    assert [raw.columns for raw in read_all(source(path), "t.parquet")] == [{"a": 1}]


def test_nobody_knows_the_size(tmp_path: Path):
    made = source(tables.by_csv(tmp_path / "t.csv", ROWS))

    assert made.size("t.csv", names(made, "t.csv")) is None


def test_a_packed_table_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="Unpack it"):
        list(source(text(tmp_path / "t.csv.gz", "")).names("t.csv.gz", None))


def test_options_of_others_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no option "depth"'):
        source(tmp_path, extra={"depth": 1})


def test_a_column_to_carry_that_is_not_there_is_told_before_anything_is_fed(tmp_path: Path):
    file = text(tmp_path / "a.csv", "image_url,title\nhttp://a.example/1.jpg,x\n")

    with pytest.raises(SourceError, match=r'no column "titel"\. It has: image_url, title\.'):
        names(source(file, columns=("titel",)), "a.csv")


def test_tables_without_rows_have_no_samples(tmp_path: Path):
    (tmp_path / "0.jsonl").write_text("")
    (tmp_path / "1.jsonl").write_text("\n\n")
    (tmp_path / "2.csv").write_text("url,title\n")
    (tmp_path / "3.txt").write_text("https://example.org/1.jpg\n")
    made = UrlsSource(SourceOptions(path=str(tmp_path)))

    found = {shard: len(list(made.names(shard, None))) for shard in made.shards()}
    assert found == {"0.jsonl": 0, "1.jsonl": 0, "2.csv": 0, "3.txt": 1}
