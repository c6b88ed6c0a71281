"""Data sets of image files: folders called for what they hold, and tables that tell of files."""

import gc
import json
import warnings
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import Listed
from caption_flow.errors import ConfigError, SourceError
from tests.feeders.pets import picture_files, png, samples, sha, source, told

TOLD_OF = ["a.png", "in/b.png"]


def metadata(folder: Path, kind: str, names: list[str] = TOLD_OF) -> Path:
    """Write a table that tells of image files."""
    rows = [
        {"file_name": name, "n": number, "text": f"t{number}"} for number, name in enumerate(names)
    ]
    path = folder / f"metadata.{kind}"
    if kind == "csv":
        path.write_text(
            "\n".join(["file_name,n,text", *(",".join(map(str, r.values())) for r in rows)])
        )
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def imagefolder(data: Path, cache: Path) -> datasets.Dataset:
    """Read it with the library, which leaves a file open where there is a metadata.csv."""
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(data), cache_dir=str(cache), split="train"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return rows


def test_folders_are_labels_as_in_datasets(tmp_path: Path):
    data = picture_files(tmp_path / "data", "cat/1.png", "cat/2.png", "dog/3.png")
    expected = imagefolder(data, tmp_path / "cache")

    assert [(sha(raw.image), raw.columns) for raw in samples(source(data))] == told(expected)


def test_files_of_images_have_their_paths_for_ids(tmp_path: Path):
    made = source(picture_files(tmp_path, "cat/1.png", "0.png"))

    root, cat = samples(made)
    assert (root.id, root.columns, root.source) == ("0.png", {}, f"{tmp_path}/0.png")
    assert (cat.id, cat.columns, cat.source) == (
        "cat/1.png", {"label": "cat"}, f"{tmp_path}/cat/1.png",
    )  # fmt: skip
    assert list(made.shards()) == [".", "cat"]
    assert made.size("cat", [Listed("1.png")]) == len(png(0))


def test_folders_of_splits_are_no_labels(tmp_path: Path):
    data = picture_files(
        tmp_path, "train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/4.png"
    )

    assert [(raw.id, raw.columns) for raw in samples(source(data, split="test"))] == [
        ("test/4.png", {}),
        ("test/cat/3.png", {"label": "cat"}),
    ]
    assert len(samples(source(data))) == 4
    with pytest.raises(ConfigError, match=r'no split "odd"\. It has: train, test\.'):
        source(data, split="odd")


def test_labels_may_be_left_out(tmp_path: Path):
    data = picture_files(tmp_path, "cat/1.png")

    assert [raw.columns for raw in samples(source(data, columns=()))] == [{}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_beside_images_tells_of_them_as_in_datasets(tmp_path: Path, kind: str):
    data = metadata(picture_files(tmp_path / "data", "a.png", "in/b.png", "c.png"), kind)
    expected = imagefolder(data, tmp_path / "cache")
    raws = samples(source(data))
    found = [(sha(raw.image), raw.columns) for raw in raws]

    if kind == "csv":  # which has no types
        found = [(image, {**columns, "n": int(columns["n"])}) for image, columns in found]
    assert found == told(expected)
    assert [raw.source for raw in raws] == [f"{data}/a.png", f"{data}/in/b.png"]
    assert raws[1].id == f"metadata.{kind}/1"


def test_a_table_in_each_split_tells_of_the_images_beside_it(tmp_path: Path):
    for split in ("train", "test"):
        metadata(picture_files(tmp_path / split, "a.png", "in/b.png"), "jsonl")
    raws = samples(source(tmp_path, split="test"))

    assert [raw.source for raw in raws] == [f"{tmp_path}/test/a.png", f"{tmp_path}/test/in/b.png"]


def test_an_image_that_a_table_tells_of_may_be_missing(tmp_path: Path):
    data = metadata(picture_files(tmp_path, "a.png"), "jsonl", ["gone.png", "a.png", "../x.png"])
    gone, there, out = samples(source(data))

    assert 'no image file "gone.png"' in gone.error
    assert there.image == png(0)
    assert "leads out of the data set" in out.error


def test_listing_a_table_of_images_goes_on_behind_any_row(tmp_path: Path):
    picture_files(tmp_path, *(f"{n}.png" for n in range(6)))
    made = source(metadata(tmp_path, "csv", [f"{n}.png" for n in range(6)]))
    listed = list(made.names("metadata.csv", None))

    for at, last in enumerate(listed):
        rest = list(made.names("metadata.csv", last))
        assert rest == listed[at + 1 :]
        found = [raw.image for raw in made.samples("metadata.csv", rest)]
        assert found == [png(n) for n in range(at + 1, 6)]


def test_a_glob_of_images_is_a_data_set(tmp_path: Path):
    picture_files(tmp_path, "a/1.png", "a/2.png", "b/3.png")

    assert [raw.id for raw in samples(source(tmp_path / "a" / "*.png"))] == ["1.png", "2.png"]


def test_other_tables_beside_images_are_passed_over(tmp_path: Path):
    picture_files(tmp_path, "1.png")
    (tmp_path / "licence.txt").write_text("Do as you like.")
    (tmp_path / "count.csv").write_text("n\n1\n")

    assert [raw.id for raw in samples(source(tmp_path))] == ["1.png"]


def test_files_of_this_host_cannot_travel_as_references(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot travel as references"):
        source(picture_files(tmp_path, "1.png"), images="reference")


def test_an_empty_folder_is_no_data_set(tmp_path: Path):
    with pytest.raises(SourceError, match="holds no data set"):
        source(tmp_path)


def test_an_option_nobody_knows_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no option "colour"'):
        source(tmp_path, extra={"colour": 1})
