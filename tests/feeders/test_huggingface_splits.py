"""Which files are of which split and subset, as `datasets` finds it and as a card says it."""

from pathlib import Path
from typing import Any

import datasets
import pytest

from caption_flow.errors import ConfigError, SourceError
from feeders.huggingface.card import pick, subsets
from feeders.huggingface.splits import Splits
from tests.feeders.pets import pets, picture_files, samples, shown, source, told

CARD = """---
license: mit
configs:
- config_name: cats
  data_files:
  - split: train
    path: c/*.parquet
  - split: test
    path: [ct/1.parquet, ct/2.parquet]
- config_name: dogs
  data_dir: d
---
# Pets
"""


def write(folder: Path, *names: str) -> Path:
    """Parquet files of one pet each, each another."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pets(1, number).to_parquet(folder / name)
    return folder


def shards(folder: Path, **options: Any) -> list[str]:
    return list(source(folder, **options).shards())


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
         "data/test-00000-of-00001.parquet", "data/odd.one-00000-of-00001-ab12.parquet"],
        ["train/a.parquet", "validation/b.parquet", "test/c.parquet"],
        ["train/a.parquet", "x/my-dev-set/b.parquet"],
        ["train.parquet", "b_val_1.parquet", "x/eval.parquet"],
        ["training-1.parquet", "training-2.parquet", "testing.parquet"],
        ["a.parquet", "b/c.parquet", "latest.parquet"],
        ["train1.parquet", "train2.parquet", "valid.parquet"],
    ],
)  # fmt: skip
def test_splits_are_those_that_datasets_finds(tmp_path: Path, names: list[str]):
    write(tmp_path / "data", *names)
    expected = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))

    for split, rows in expected.items():
        found = shown(source(tmp_path / "data", split=str(split)))
        assert sorted(found, key=str) == sorted(told(rows), key=str)


def test_a_split_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path):
    write(tmp_path, "train.parquet", "test.parquet")

    with pytest.raises(ConfigError, match=r'no split "dev"\. It has: test, train\.'):
        source(tmp_path, split="dev")
    assert shards(tmp_path) == ["test.parquet", "train.parquet"]


def test_shards_begin_where_they_are_asked_to(tmp_path: Path):
    made = source(write(tmp_path, "a/1.parquet", "a-b/1.parquet", "b.parquet"))

    assert list(made.shards()) == ["a/1.parquet", "a-b/1.parquet", "b.parquet"]
    assert list(made.shards("a-a")) == ["a-b/1.parquet", "b.parquet"]


def test_the_card_tells_subsets_and_their_splits(tmp_path: Path):
    write(tmp_path, "c/1.parquet", "c/2.parquet", "ct/1.parquet", "ct/3.parquet", "d/x/9.parquet")
    (tmp_path / "README.md").write_text(CARD)

    assert shards(tmp_path, subset="cats") == ["c/1.parquet", "c/2.parquet", "ct/1.parquet"]
    assert shards(tmp_path, subset="cats", split="test") == ["ct/1.parquet"]
    assert shards(tmp_path, subset="dogs") == ["d/x/9.parquet"]
    with pytest.raises(ConfigError, match="several subsets: cats, dogs"):
        source(tmp_path)
    with pytest.raises(ConfigError, match=r'no subset "cows"\. It has: cats, dogs\.'):
        source(tmp_path, subset="cows")
    with pytest.raises(ConfigError, match=r'no split "odd"\. It has: test, train\.'):
        source(tmp_path, subset="cats", split="odd")


@pytest.mark.parametrize("subset", ["cats", "dogs"])
def test_a_subset_is_what_datasets_makes_of_it(tmp_path: Path, subset: str):
    data = write(tmp_path / "data", "c/1.parquet", "ct/1.parquet", "ct/2.parquet", "d/9.parquet")
    (data / "README.md").write_text(CARD)
    expected = datasets.load_dataset(str(data), subset, cache_dir=str(tmp_path / "cache"))

    for split, rows in expected.items():
        assert shown(source(data, subset=subset, split=str(split))) == told(rows)


def test_a_default_subset_needs_no_name(tmp_path: Path):
    write(tmp_path, "c/1.parquet", "d/x/9.parquet")
    card = CARD.replace("data_dir: d", "data_dir: d\n  default: true")
    (tmp_path / "README.md").write_text(card)

    assert shards(tmp_path) == ["d/x/9.parquet"]


def test_a_subset_without_a_card_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='has no subset "cats"'):
        source(write(tmp_path, "a.parquet"), subset="cats")


@pytest.mark.parametrize("text", ["", "# Pets\n", "---\nlicense: mit\n---\n", "---\n- 1\n---\n"])
def test_a_card_may_say_nothing(tmp_path: Path, text: str):
    write(tmp_path, "a.parquet")
    (tmp_path / "README.md").write_text(text)

    assert len(samples(source(tmp_path))) == 1


@pytest.mark.parametrize(
    "header",
    ["configs: 3", "configs: [3]", "configs: {", "configs: [{data_files: 3}]",
     "configs: [{data_files: '**/**/**/**/x'}]", "configs: [{data_files: '{1..9999999}'}]"],
)  # fmt: skip
def test_a_card_that_makes_no_sense_is_told(header: str):
    with pytest.raises(SourceError, match=r"header of README\.md cannot be understood"):
        subsets(f"---\n{header}\n---\n".encode(), "README.md")


@pytest.mark.parametrize(
    ("files", "split", "name"),
    [
        ("x", "train", "x"),
        ("x/**", "train", "x/a/b"),
        ("['x', 'y']", "train", "y"),
        ("{train: x, odd: ['y', z]}", "odd", "z"),
        ("[{split: odd, path: y}]", "odd", "y"),
        ("'./x-{a,b}*'", "train", "x-b1"),
        ("x", None, "y"),
    ],
)
def test_files_are_spelled_in_many_ways(files: str, split: str | None, name: str):
    [found] = subsets(f"---\nconfigs: [{{data_files: {files}}}]\n---\n".encode(), "README.md")

    assert found.split(name) == split
    assert pick([found], None, "x") is found


def test_names_are_heard_and_not_kept():
    splits = Splits()
    for number in range(1000):
        splits.hear(f"train/{number}.jpg")
        splits.hear(f"extra/{number}.jpg")

    assert splits.names == ["train"]
    assert splits.split("train/7.jpg") == "train"
    assert splits.split("extra/7.jpg") is None


def test_files_of_no_split_are_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write(tmp_path, "cats.parquet", "dogs.parquet", "test_subjects.parquet")

    assert shards(tmp_path) == ["test_subjects.parquet"]
    assert "Left out 2 of 3 files, cats.parquet the first" in caplog.text


def test_images_of_no_split_are_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    picture_files(tmp_path, "bus/1.png", "car/2.png", "car/3.png", "train/4.png")

    assert [raw.id for raw in samples(source(tmp_path))] == ["train/4.png"]
    assert "Left out the 2 images of the folder car: they are of no split" in caplog.text
