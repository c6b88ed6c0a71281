"""Names of files of samples: safe on any disk, apart from one another, the same each time."""

import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caption_flow.dataset import repeats
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.reader import Reader
from caption_flow.dataset.snapshot import Snapshot
from caption_flow.export.names import Names, stem
from tests.export.command import exported, files
from tests.export.makers import IDS, plain

WORDS = ["", ".", "..", "a", "A", "cat", "cat~2", "cat~3", ".x", "\0", "\\", "é" * 150, "b.txt"]
TAILS = ["", ".jpg", ".PNG", ".webp", ".txt", ".json", ".tar.gz", "~2", "/"]
ids = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).flatmap(
    lambda parts: st.sampled_from(TAILS).map(lambda tail: "/".join(parts) + tail)
) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


def names(folder: Path, column: str = "id", *, dots: bool = True) -> dict[str, str]:
    """Name all samples of some parts, by their ids."""
    place = PartFolder(folder.parent, folder.name)
    reader = Reader(Snapshot(place, tuple(place.published())))
    named = Names(reader, column, dots=dots)
    told: dict[str, str] = {}
    for batch in reader.batches():
        rows = batch.rows
        told |= dict(zip(rows.column("id").to_pylist(), named.of(rows), strict=True))
    return told


def written(folder: Path, *parts: list[str]) -> Path:
    for number, some in enumerate(parts):
        plain(folder, number, [{"id": id_, "captions": ["x"]} for id_ in some])
    return folder


@settings(deadline=None)
@given(ids)
@example("/".join(["d" * 190] * 25))
@example("a" * 10_000)
def test_name_leads_nowhere_else_and_fits_any_disk(id_: str):
    parts = stem(id_).split("/")

    assert not any(part in {"", ".", ".."} or part.startswith(".") for part in parts)
    assert not any(char < " " or char in "\x7f\\" for part in parts for char in part)
    assert all(len(part.encode()) <= 255 - len("~1000000.json") for part in parts)
    assert len(stem(id_).encode()) <= 3000
    assert not any(folder.lower().endswith((".txt", ".json")) for folder in parts[:-1])


@settings(max_examples=40, deadline=None)
@given(st.lists(ids, unique=True, min_size=1, max_size=30), st.integers(0, 3), st.booleans())
@example([*IDS], 2, True)
def test_no_two_samples_have_one_name_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], cut: int, dots: bool
):
    folder = tmp_path_factory.mktemp("names")
    named = names(written(folder / "one", some), dots=dots)
    mixed = random.Random(cut).sample(some, len(some))
    again = names(written(folder / "other", mixed[:cut], mixed[cut:]), dots=dots)

    assert named == again
    assert len(set(named.values())) == len(some)
    assert dots or not any("." in name.rpartition("/")[2] for name in named.values())


def test_names_alike_are_numbered_by_id_and_never_as_another_is_called(tmp_path: Path):
    folder = written(tmp_path / "photos", ["cat.webp", "cat~2.jpg", "dog.jpg"], ["cat.jpg", "cat"])

    assert names(folder) == {
        "cat": "cat",
        "cat.jpg": "cat~3",
        "cat.webp": "cat~4",
        "cat~2.jpg": "cat~2",
        "dog.jpg": "dog",
    }


def test_names_alike_are_found_where_words_are_in_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(repeats, "_WORDS_PER_FILE", 3)
    many = [f"{n}.{tail}" for n in range(20) for tail in ("jpg", "png")]
    named = names(written(tmp_path / "photos", *[many[n::4] for n in range(4)]))

    assert named == {f"{n}.jpg": f"{n}" for n in range(20)} | {
        f"{n}.png": f"{n}~2" for n in range(20)
    }


def test_files_are_named_by_another_column_where_asked(tmp_path: Path):
    titles: list[str | None] = ["a/first.png", "a/first", "", None]
    rows = [{"id": f"{n}.jpg", "captions": [str(n)], "title": t} for n, t in enumerate(titles)]
    plain(tmp_path / "photos", 0, rows, title=pa.string())
    arguments = ("--format", "txt", "--filename-column", "title", "-o", tmp_path / "out")
    exported(tmp_path / "photos", *arguments)

    assert files(tmp_path / "out") == {
        "a/first.txt": b"0",
        "a/first~2.txt": b"1",
        "2.txt": b"2",
        "3.txt": b"3",
    }


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (pa.int64(), -5, "-5"),
        (pa.float64(), 0.5, "0.5"),
        (pa.bool_(), True, "True"),
        (pa.list_(pa.string()), ["a"], "['a']"),
    ],
)
def test_column_of_any_type_names_files(
    kind: pa.DataType, value: object, name: str, tmp_path: Path
):
    plain(tmp_path / "photos", 0, [{"id": "1", "captions": ["x"], "own": value}], own=kind)

    assert names(tmp_path / "photos", "own") == {"1": name}


def test_ids_of_strangers_stay_in_the_folder_and_keep_out_of_each_others_way(tmp_path: Path):
    written(tmp_path / "photos", list(IDS))
    for name in ("txt", "json"):
        exported(tmp_path / "photos", "--format", name, "-o", tmp_path / "above" / name)
        assert len(files(tmp_path / "above" / name)) == len(IDS)

    assert {path.name for path in tmp_path.iterdir()} == {"photos", "above"}
    assert {path.name for path in (tmp_path / "above").iterdir()} == {"txt", "json"}
