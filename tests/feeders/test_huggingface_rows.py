"""Data sets of rows: what `datasets` writes is given as `datasets` reads it."""

import json
import random
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import Listed, ShardChanged
from caption_flow.errors import ConfigError, SourceError
from tests.feeders.pets import pets, picture_files, png, samples, shown, source, told


def parquet(folder: Path, name: str, data: datasets.Dataset) -> Path:
    """Write one Parquet file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    data.to_parquet(folder / name, batch_size=4)
    return folder


def table(folder: Path, **columns: Any) -> Path:
    """Write one Parquet file of columns that no library has described."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder


def test_parquet_is_read_as_datasets_reads_it(tmp_path: Path):
    parquet(tmp_path, "data/train-00000-of-00002.parquet", pets(10))
    parquet(tmp_path, "data/train-00001-of-00002.parquet", pets(5, 10))

    assert shown(source(tmp_path)) == told(datasets.concatenate_datasets([pets(10), pets(5, 10)]))


def test_an_id_names_the_file_and_the_row(tmp_path: Path):
    parquet(tmp_path, "data/a.parquet", pets(2))

    raws = samples(source(tmp_path))
    assert [raw.id for raw in raws] == ["data/a.parquet/0", "data/a.parquet/1"]
    assert raws[1].source == f"{tmp_path}/data/a.parquet#1"


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_saved_to_disk_is_read_as_datasets_reads_it(tmp_path: Path, count: int):
    pets(12).save_to_disk(tmp_path / "saved", num_shards=count)

    assert shown(source(tmp_path / "saved")) == told(datasets.load_from_disk(tmp_path / "saved"))


def test_a_file_that_is_not_of_the_saved_data_set_is_passed_over(tmp_path: Path):
    pets(3).save_to_disk(tmp_path)
    (tmp_path / "cache-17.arrow").write_bytes(b"what map() left")

    assert len(samples(source(tmp_path))) == 3


def test_splits_that_are_saved_together_are_told_apart(tmp_path: Path):
    both = datasets.DatasetDict({"train": pets(4), "odd": pets(3, 4)})
    both.save_to_disk(tmp_path)

    assert shown(source(tmp_path, split="odd")) == told(both["odd"])
    assert shown(source(tmp_path)) == told(both["odd"]) + told(both["train"])
    with pytest.raises(ConfigError, match=r'no split "tset"\. It has: odd, train\.'):
        source(tmp_path, split="tset")


def test_images_that_lie_beside_what_was_saved_are_read(tmp_path: Path):
    files = picture_files(tmp_path / "pictures", "1.png", "2.png")
    paths = [str(files / "1.png"), str(files / "2.png")]
    made = datasets.Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image())
    made.save_to_disk(tmp_path / "saved")

    assert shown(source(tmp_path / "saved")) == told(made)


@pytest.mark.parametrize("last", [0, 3, 4, 8, 10])
def test_listing_goes_on_behind_any_row(tmp_path: Path, last: int):
    made = source(parquet(tmp_path, "a.parquet", pets(11)))
    [shard] = made.shards()

    listed = list(made.names(shard, Listed(str(last))))
    assert [one.name for one in listed] == [str(n) for n in range(last + 1, 11)]
    assert [raw.image for raw in made.samples(shard, listed)] == [
        png(n) for n in range(last + 1, 11)
    ]


def test_rows_are_given_in_the_order_asked(tmp_path: Path):
    made = source(parquet(tmp_path, "a.parquet", pets(9)))
    asked = [Listed("7"), Listed("0"), Listed("8"), Listed("7")]

    assert [raw.image for raw in made.samples("a.parquet", asked)] == [png(n) for n in (7, 0, 8, 7)]


@pytest.mark.parametrize("name", ["-1", "9", "01", "x", "", "٣", "1e3", "9" * 30])
def test_a_row_that_is_not_there_is_an_error_of_its_own(tmp_path: Path, name: str):
    made = source(parquet(tmp_path, "a.parquet", pets(2)))

    bad, good = made.samples("a.parquet", [Listed(name), Listed("1")])
    assert (bad.id, bad.error != "") == (f"a.parquet/{name}", True)
    assert good.image == png(1)


@pytest.mark.parametrize("shard", ["b.parquet", "../a.parquet", "/etc/passwd", "", "README.md"])
def test_a_shard_that_is_not_there_is_planned_anew(tmp_path: Path, shard: str):
    made = source(parquet(tmp_path, "a.parquet", pets(2)))

    with pytest.raises(ShardChanged):
        list(made.samples(shard, [Listed("0")]))


def test_a_file_that_changed_is_planned_anew(tmp_path: Path):
    made = source(parquet(tmp_path, "a.parquet", pets(5)))
    planned = made.fingerprint("a.parquet")
    assert len(list(made.samples("a.parquet", [Listed("4")], planned))) == 1
    parquet(tmp_path, "a.parquet", pets(3))

    with pytest.raises(ShardChanged, match="has changed since it was planned"):
        list(made.samples("a.parquet", [Listed("4")], planned))
    with pytest.raises(ShardChanged, match="no row 4"):
        list(made.names("a.parquet", Listed("4")))


def test_plain_bytes_are_images_too(tmp_path: Path):
    assert shown(source(table(tmp_path, image=[png(0)], n=[1]))) == shown(
        source(table(tmp_path / "b", image=[{"bytes": png(0), "path": None}], n=[1]))
    )


def test_the_only_column_of_images_is_found_by_its_type(tmp_path: Path):
    made = source(parquet(tmp_path, "a.parquet", pets(2).rename_column("image", "photo")))

    assert [raw.image for raw in samples(made)] == [png(0), png(1)]
    bare = source(table(tmp_path / "b", photo=[{"bytes": png(5), "path": "x"}]))
    assert [raw.image for raw in samples(bare)] == [png(5)]


def test_two_columns_of_images_have_to_be_chosen_from(tmp_path: Path):
    cell = [{"bytes": png(5), "path": "x"}]
    table(tmp_path, left=cell, right=cell, n=[1])

    with pytest.raises(ConfigError, match="several columns of images: left, right"):
        source(tmp_path)
    [raw] = samples(source(tmp_path, image_column="right"))
    assert (raw.image, raw.columns) == (png(5), {"n": 1})


def test_a_table_without_images_is_refused_with_its_columns(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"It has: n, text\. Name the one"):
        source(table(tmp_path, n=[1], text=["a"]))


def test_a_column_that_is_named_must_be_there(tmp_path: Path):
    parquet(tmp_path, "a.parquet", pets(2))

    with pytest.raises(ConfigError, match='neither a column "photo"'):
        source(tmp_path, image_column="photo")
    with pytest.raises(ConfigError, match=r"columns names nope, which .* It has: image, label,"):
        source(tmp_path, columns=("note", "nope"))


def test_only_the_columns_that_are_named_are_carried(tmp_path: Path):
    made = source(parquet(tmp_path, "a.parquet", pets(2)), columns=("note", "label"))

    assert [raw.columns for raw in samples(made)] == [
        {"note": None, "label": "cat"},
        {"note": "pet 1", "label": "dog"},
    ]


def test_a_row_without_an_image_is_an_error_of_its_own(tmp_path: Path):
    cells = [None, {"bytes": None, "path": None}, {"bytes": png(1), "path": None}]
    null, empty, good = samples(source(table(tmp_path, image=cells, n=[1, 2, 3])))

    assert (null.error, null.reason) == ("its image is null", "no_image")
    assert (empty.error, empty.reason) == ("its image is null", "no_image")
    assert good.image == png(1)


def test_of_a_list_of_images_the_first_is_taken(tmp_path: Path):
    cell = {"bytes": png(4), "path": None}
    made = source(table(tmp_path, image=[[cell, {"bytes": png(5), "path": None}], []]))
    some, none = samples(made)

    assert some.image == png(4)
    assert (none.error, none.reason) == ("its list of images is empty", "no_image")


def test_an_image_that_is_too_large_is_an_error_of_its_own(tmp_path: Path):
    made = source(table(tmp_path, image=[b"x" * 100, b"x" * 99]), max_file_size=99)

    large, small = samples(made)
    assert large.error == "it has 100 bytes; the limit is 99"
    assert small.image == b"x" * 99


def test_paths_lead_to_files_of_the_data_set(tmp_path: Path):
    picture_files(tmp_path, "pictures/1.png", "2.png")
    cells = [{"bytes": None, "path": "pictures/1.png"}, {"bytes": None, "path": "./2.png"}]
    first, second = samples(source(table(tmp_path, image=cells)))

    assert (first.image, second.image) == (png(0), png(1))
    assert first.source == f"{tmp_path}/pictures/1.png"


@pytest.mark.parametrize(
    "path",
    ["../out.png", "/etc/passwd", "a/../../out.png", "https://example.org/x.png", "nope.png"],
)
def test_paths_lead_nowhere_else(tmp_path: Path, path: str):
    picture_files(tmp_path, "out.png", "in/ok.png")
    cells = [{"bytes": None, "path": "ok.png"}, {"bytes": None, "path": path}]
    good, bad = samples(source(table(tmp_path / "in", image=cells)))

    assert good.image == png(1)
    assert bad.image == b""
    assert "data set" in bad.error


def test_paths_lead_beneath_the_image_root_where_one_is_named(tmp_path: Path):
    root = picture_files(tmp_path / "pictures", "1.png", "a/2.png")
    picture_files(tmp_path, "out.png")
    named = ["1.png", str(root / "a/2.png"), str(tmp_path / "out.png"), "../out.png"]
    cells = [{"bytes": None, "path": path} for path in named]
    made = source(table(tmp_path / "t", image=cells), image_root=str(root))
    one, two, *bad = samples(made)

    assert (one.image, two.image) == (png(0), png(1))
    assert [raw.image for raw in bad] == [b"", b""]
    assert two.source == f"{root}/a/2.png"


def test_bytes_in_tables_cannot_travel_as_references(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot travel as references"):
        source(parquet(tmp_path, "a.parquet", pets(2)), images="reference")


def test_the_size_of_images_is_told_by_the_footer(tmp_path: Path):
    big = [{"bytes": random.Random(n).randbytes(9000), "path": None} for n in range(20)]
    made = source(table(tmp_path, image=big, text=["x" * 1000] * 20))
    [shard] = made.shards()
    whole = made.size(shard, list(made.names(shard, None)))
    half = made.size(shard, [Listed(str(n)) for n in range(10)])

    assert whole is not None
    assert half is not None
    assert abs(whole - 2 * half) <= 2
    assert whole == pytest.approx(20 * 9000, rel=0.02)


@pytest.mark.parametrize(
    "said",
    [
        b"\xff", b"[]", b"{}", b'{"info": 3}', b'{"info": {"features": []}}',
        b'{"info": {"features": {"image": 3, "n": [], "w": {"_type": "ClassLabel"}}}}',
        b'{"info": {"features": {"w": {"_type": "ClassLabel", "names": {"0": "a"}}}}}',
        b"[" * 10_000,
    ],
)  # fmt: skip
def test_what_a_schema_says_of_itself_may_be_nonsense(tmp_path: Path, said: bytes):
    columns = {"image": [png(0)], "n": [[1]], "w": [7]}
    made = pa.table(columns).replace_schema_metadata({b"huggingface": said})
    pq.write_table(made, tmp_path / "a.parquet")
    [raw] = samples(source(tmp_path))

    assert (raw.image, raw.columns) == (png(0), {"n": [1], "w": 7})


def test_a_label_without_a_word_stays_a_number(tmp_path: Path):
    label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    said = json.dumps({"info": {"features": {"w": label, "deep": {"w": label}}}})
    columns = {"image": [png(0)] * 4, "w": [1, 2, -1, None], "deep": [{"w": 0}] * 4}
    made = pa.table(columns).replace_schema_metadata({b"huggingface": said})
    pq.write_table(made, tmp_path / "a.parquet")

    raws = samples(source(tmp_path))
    assert [raw.columns["w"] for raw in raws] == ["dog", 2, None, None]
    assert raws[0].columns["deep"] == {"w": "cat"}


@pytest.mark.parametrize(
    "state", ["", "[]", "{}", '{"_data_files": 3}', '{"_data_files": [{"filename": "../x.arrow"}]}']
)
def test_a_state_that_is_damaged_is_told(tmp_path: Path, state: str):
    pets(3).save_to_disk(tmp_path / "in")
    pets(3).to_parquet(tmp_path / "x.arrow")
    (tmp_path / "in/state.json").write_text(state)

    with pytest.raises(SourceError):
        source(tmp_path / "in")


@pytest.mark.parametrize("before", [[], [None], [""]])
def test_urls_are_found_behind_rows_and_files_that_have_none(tmp_path: Path, before: list[Any]):
    table(tmp_path, image=pa.array(before, pa.string()))
    pq.write_table(pa.table({"image": ["https://example.org/1.jpg"]}), tmp_path / "b.parquet")

    raw = samples(source(tmp_path))[-1]
    assert raw.error == ""
    assert raw.reference is not None
    assert raw.reference.url == "https://example.org/1.jpg"
