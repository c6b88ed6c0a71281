"""What of the rows is exported: which samples, which of their captions, which columns."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from caption_flow.dataset.columns import infer
from tests.export.command import export, exported, files, refused
from tests.export.makers import made, plain, sunk

CAPTIONS = {
    "a/1.jpg": (["one", "the longest", "three"], ["tag"]),
    "a/2.jpg": (["", "only", "four"], []),
    "b/3.jpg": ([], ["first tag", "second"]),
    "b/4.jpg": (None, None),
    "c[1]/5.jpg": ([""], [""]),
}
ROWS: list[dict[str, Any]] = [
    {
        "id": id_,
        "captions": captions,
        "tags": tags,
        "shard": id_.partition("/")[0],
        "title": f"title of {id_}",
        "year": 2000 + number,
    }
    for number, (id_, (captions, tags)) in enumerate(CAPTIONS.items())
]
TYPES = {
    "tags": pa.list_(pa.string()),
    "shard": pa.string(),
    "title": pa.string(),
    "year": pa.int64(),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    plain(folder, 0, ROWS[:2], **TYPES)
    plain(folder, 1, ROWS[2:], **TYPES)
    return folder


def lines(parts: Path, *arguments: object) -> list[dict[str, Any]]:
    """What is exported as JSON Lines to standard output."""
    return [json.loads(line) for line in exported(parts, "-o", "-", *arguments).out.splitlines()]


def ids(parts: Path, *arguments: object) -> list[str]:
    return [row["id"] for row in lines(parts, *arguments)]


def test_samples_without_a_caption_are_left_out(parts: Path):
    assert ids(parts) == ["a/1.jpg", "a/2.jpg", "b/3.jpg"]


def test_samples_without_a_caption_are_exported_where_asked(parts: Path, tmp_path: Path):
    assert ids(parts, "--include-empty") == list(CAPTIONS)
    exported(parts, "--include-empty", "--format", "txt", "-o", tmp_path)
    assert files(tmp_path)["b/4.txt"] == b""
    exploded = lines(parts, "--include-empty", "--explode")
    assert [row["caption"] for row in exploded if row["id"] == "c[1]/5.jpg"] == [None]


@pytest.mark.parametrize(
    ("arguments", "shards"),
    [
        (("--shard", "a"), "a"),
        (("--shard", "c[1]"), "c"),
        (("--shards", "[ab]"), "ab"),
        (("--shards", "a,c*"), "ac"),
        (("--shards", "a", "--shards", "b", "--shard", "c[1]"), "abc"),
    ],
)
def test_shards_are_chosen_by_name_and_by_pattern(
    arguments: tuple[str, ...], shards: str, parts: Path
):
    assert ids(parts, "--include-empty", *arguments) == [
        id_ for id_ in CAPTIONS if id_[0] in shards
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_limit_counts_samples_and_no_rows_of_theirs(limit: int, parts: Path, tmp_path: Path):
    wanted = ["a/1.jpg", "a/2.jpg", "b/3.jpg"][:limit]

    assert ids(parts, "--limit", limit) == wanted
    assert list(dict.fromkeys(ids(parts, "--limit", limit, "--explode"))) == wanted
    done = exported(parts, "--limit", limit, "--format", "json", "-o", tmp_path)
    samples = "1 sample" if len(wanted) == 1 else f"{len(wanted)} samples"
    assert done.out == f"Exported {samples} to {tmp_path}.\n"
    assert len(files(tmp_path)) == len(wanted)


def test_columns_are_in_the_order_that_is_asked_for(parts: Path):
    [row, *_] = lines(parts, "--columns", "year, captions,id,year")

    assert list(row.items()) == [
        ("year", 2000),
        ("captions", ["one", "the longest", "three"]),
        ("id", "a/1.jpg"),
    ]


def test_exploded_captions_have_a_row_each_with_all_columns(parts: Path):
    rows = lines(parts, "--explode")

    assert [(row["id"], row["output"], row["caption"]) for row in rows] == [
        ("a/1.jpg", "captions", "one"),
        ("a/1.jpg", "captions", "the longest"),
        ("a/1.jpg", "captions", "three"),
        ("a/1.jpg", "tags", "tag"),
        ("a/2.jpg", "captions", "only"),
        ("a/2.jpg", "captions", "four"),
        ("b/3.jpg", "tags", "first tag"),
        ("b/3.jpg", "tags", "second"),
    ]
    assert {tuple(row) for row in rows} == {("id", "caption", "output", "shard", "title", "year")}
    done = exported(parts, "--explode", "-o", "-")
    assert done.err == "Exported 3 samples in 8 rows to standard output.\n"


@pytest.mark.parametrize(
    ("rule", "captions"),
    [
        ("first", ["one", "only", "first tag"]),
        ("longest", ["the longest", "only", "first tag"]),
        ("stage tags", ["tag", "first tag"]),
        ("stage captions", ["one", "only"]),
    ],
)
def test_one_caption_of_each_sample_is_picked(rule: str, captions: list[str], parts: Path):
    rows = lines(parts, "--pick", rule)

    assert [row["caption"] for row in rows] == captions
    assert all("captions" not in row and "tags" not in row for row in rows)


def test_what_is_picked_at_random_is_the_same_in_each_run_and_order(tmp_path: Path):
    rows = [
        {"id": f"{n}.jpg", "captions": [f"{n}.{k}" for k in range(4)], "year": n} for n in range(60)
    ]
    for number in range(3):
        plain(tmp_path / "one", number, rows[number * 20 :][:20], year=pa.int64())
        plain(tmp_path / "other", 2 - number, rows[number::3], year=pa.int64())

    def picked(folder: str, seed: str) -> dict[str, str]:
        arguments = ("--pick", f"random:{seed}", "--columns", "id,caption")
        return {row["id"]: row["caption"] for row in lines(tmp_path / folder, *arguments)}

    assert picked("one", "7") == picked("one", "7") == picked("other", "7")
    assert picked("one", "7") != picked("one", "8")
    places = Counter(text[-1] for text in picked("one", "7").values())
    assert set(places) == set("0123")
    assert max(places.values()) < 30


def test_captions_are_taken_from_other_columns_where_asked(parts: Path, tmp_path: Path):
    exported(parts, "--format", "txt", "--export-column", "title", "-o", tmp_path)
    assert files(tmp_path)["b/4.txt"] == b"title of b/4.jpg"

    rows = lines(parts, "--export-column", "tags", "--export-column", "title", "--explode")
    assert [row["caption"] for row in rows if row["id"] == "a/1.jpg"] == [
        "tag",
        "title of a/1.jpg",
    ]
    assert ids(parts, "--export-column", "tags") == ["a/1.jpg", "b/3.jpg"]


def test_own_column_that_is_called_like_one_of_ours_steps_aside(tmp_path: Path):
    row = {"id": "1", "captions": ["ours"], "caption": "own", "column_caption": "more"}
    plain(tmp_path, 0, [row], caption=pa.string(), column_caption=pa.string())
    [one] = lines(tmp_path, "--pick", "first")

    assert one == {
        "id": "1",
        "caption": "ours",
        "column_column_caption": "own",
        "column_caption": "more",
    }


def test_csv_goes_to_standard_output_too(parts: Path):
    done = exported(parts, "--format", "csv", "-o", "-", "--columns", "id,captions")

    read = list(csv.reader(io.StringIO(done.out.removeprefix("\ufeff"), newline="")))
    assert read[:2] == [["id", "captions"], ["a/1.jpg", '["one","the longest","three"]']]


def test_all_formats_are_made_at_once_of_one_wish(parts: Path, tmp_path: Path):
    done = exported(parts, "--format", "all", "--pick", "longest", "-o", tmp_path / "out")

    assert len(done.out.splitlines()) == 7
    assert done.err == (
        "Left out: webshart, which needs --metadata.\n"
        "Left out: huggingface_hub, which needs --hf-dataset.\n"
    )
    made_ = files(tmp_path / "out")
    assert made_["photos.jsonl"].count(b"\n") == made_["photos.csv"].count(b"\n") - 1 == 3
    assert made_["photos-txt/a/2.txt"] == b"only"
    assert json.loads(made_["photos-json/a/2.json"])["caption"] == "only"


def test_fields_of_an_answer_count_as_a_caption(tmp_path: Path):
    """But where one caption each is asked for."""
    agreed = infer(["captions"], [], {"colour": "string"})
    captions = [made(1, ["x"]), made(2, [], fields={"colour": "red"}), made(3, [])]
    folder = sunk(tmp_path / "photos", captions, agreed=agreed)

    assert ids(folder) == ["00001.jpg", "00002.jpg"]
    assert ids(folder, "--pick", "first") == ["00001.jpg"]


WRONG = {
    ("--columns", "id,captoins"): '--columns: no column is called "captoins"; did you mean',
    ("--columns", " , "): "--columns names none",
    ("--export-column", "tgas"): 'no column is called "tgas"; did you mean "tags"?',
    ("--export-column", "year"): '--export-column: "year" holds no texts.',
    (
        "--format",
        "txt",
        "--filename-column",
        "nmae",
    ): '--filename-column: no column is called "nmae"',
    ("--pick", "shortest"): '--pick has no rule "shortest"',
    ("--pick", "stage"): '--pick has no rule "stage"',
    ("--pick", "stage nothing"): 'no stage is called "nothing", as far as is known; stages wrote',
    ("--pick", "first", "--explode"): "--explode and --pick do not go together",
    ("--format", "txt", "--explode"): "--explode does nothing with --format txt; it goes with",
    ("--format", "txt", "--columns", "id"): "--columns does nothing with --format txt",
    ("--hf-dataset", "ann/x"): "--hf-dataset does nothing with --format jsonl; it goes with hugg",
    ("--stats-only", "-o", "x"): "--output does nothing with --stats-only",
    ("--shard", "*"): 'No shard is called "*", or matches it as a pattern.',
    ("--shards", "a,A"): 'No shard is called "A"',
    ("--format", "xml"): "'xml' is not one of",
    ("--format", "txt", "-o", "-"): "--format txt is no stream",
    ("--format", "all", "-o", "-"): "--format all is no stream",
    ("--limit", "0"): "0 is not in the range",
    ("--rows-per-file", "0"): "0 is not in the range",
    ("--columns", "id\udcff"): "no column is called",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_wish_is_told_before_anything_is_written(
    arguments: tuple[str, ...], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = export(parts, *arguments)

    assert (done.code, done.out) == (2, "")
    assert WRONG[arguments] in done.err
    assert list(tmp_path.iterdir()) == []


def test_shards_of_parts_that_name_none_are_told(tmp_path: Path):
    plain(tmp_path / "photos", 0, [{"id": "1", "captions": ["x"]}])

    assert 'no column is called "shard"' in refused(tmp_path / "photos", "--shard", "a", "-o", "-")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--pick", "stage tags"), [{"id": "a/1.jpg"}, {"id": "b/3.jpg"}]),
        (("--explode", "--limit", "2"), [{"id": "a/1.jpg"}] * 4 + [{"id": "a/2.jpg"}] * 2),
        (("--shard", "b", "--where", "year > 1"), [{"id": "b/3.jpg"}]),
    ],
)
def test_what_chooses_need_not_be_among_the_columns(
    arguments: tuple[str, ...], wanted: list[dict[str, str]], parts: Path
):
    assert lines(parts, "--columns", "id", *arguments) == wanted


def test_files_of_samples_have_the_columns_that_are_asked_for(parts: Path, tmp_path: Path):
    arguments = ("--filename-column", "title", "--limit", 1)
    exported(parts, "--format", "json", "--columns", "year", "-o", tmp_path / "json", *arguments)
    exported(parts, "--format", "txt", "-o", tmp_path / "txt", *arguments)

    assert files(tmp_path / "json") == {"title of a/1.json": b'{"year":2000}\n'}
    assert files(tmp_path / "txt") == {"title of a/1.txt": b"one\nthe longest\nthree\ntag"}
