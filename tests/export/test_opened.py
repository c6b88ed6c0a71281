"""`caption_flow.open_dataset`: finished captions for Python."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pytest

import caption_flow
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.retiring import sweep
from caption_flow.errors import CaptionFlowError, ConfigError, StorageUnfit
from tests.dataset.mergers import merged, written
from tests.export.makers import plain
from tests.view.parts import numbered, part_name, write_part

ROWS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job whose second part has ten samples of the first again, by later settings."""
    path = tmp_path / "photos"
    write_part(path, part_name(0), numbered(0, 40))
    write_part(path, part_name(1), [*map(later, numbered(0, 10)), *numbered(40, 20)])
    return path


def later(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"settings_version": 2, "captions": ["better"]}


def expected() -> dict[str, list[str]]:
    rows = [*numbered(0, 40), *numbered(40, 20)]
    told = {row["id"]: row["captions"] for row in rows}
    return told | {row["id"]: ["better"] for row in numbered(0, 10)}


def test_each_sample_is_given_once_by_its_latest_settings(folder: Path) -> None:
    with caption_flow.open_dataset(folder) as captions:
        rows = list(captions)

    assert len(captions) == len(rows) == ROWS
    assert {row["id"]: row["captions"] for row in rows} == expected()
    assert captions.outputs == ("captions", "tags")


def test_arrow_pandas_and_datasets_have_the_same_rows(folder: Path, tmp_path: Path) -> None:
    captions = caption_flow.open_dataset(str(folder))
    frame = captions.to_pandas(["id", "captions"])
    table = captions.to_arrow().to_table(["id", "captions"])
    hub = captions.to_datasets(cache_dir=str(tmp_path / "cache"))

    found = dict(zip(frame["id"], map(list, frame["captions"]), strict=True))
    assert found == expected()
    assert {row["id"]: row["captions"] for row in table.to_pylist()} == expected()
    assert dict(zip(hub["id"], hub["captions"], strict=True)) == expected()
    assert table.num_rows == len(hub) == ROWS


def test_a_condition_and_columns_narrow_what_is_read(folder: Path) -> None:
    table = caption_flow.open_dataset(folder).to_table(["id"], where='"better" in captions')

    assert table.column_names == ["id"]
    assert table.num_rows == 10


def test_a_folder_without_parts_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageUnfit, match=r"has no part-\*\.parquet"):
        caption_flow.open_dataset(tmp_path)


@pytest.mark.parametrize("method", ["batches", "to_table", "to_pandas"])
def test_an_unknown_column_is_told_at_once(method: str, folder: Path) -> None:
    captions = caption_flow.open_dataset(folder)

    with pytest.raises(ConfigError, match='did you mean "captions"'):
        getattr(captions, method)(["caption"])


def test_batches_without_rows_are_refused_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError, match="size=-1: a batch has at least one row"):
        caption_flow.open_dataset(folder).batches(size=-1)


def test_arrow_data_set_is_read_after_its_parts_were_merged(tmp_path: Path) -> None:
    """For as long as there is one, even when nobody has what it was made from."""
    jobs = PartFolder(tmp_path, "books")
    parts = [written(jobs, 1, 2), written(jobs, 3)]
    made = caption_flow.open_dataset(jobs.path).to_arrow()
    copied = pickle.dumps(made)
    merged(jobs, parts)
    sweep(jobs)

    assert jobs.published() != parts
    for one in (made, pickle.loads(copied)):
        assert one.to_table(filter=pa_dataset.field("title") > "no. 1").num_rows == 2
    for part in parts:
        jobs.retired(part).unlink()
    with pytest.raises(StorageUnfit, match="is gone since it was listed"):
        made.to_table()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Parts of several jobs, whose columns are not quite the same."""
    path = tmp_path / "mixed"
    kinds = (None, pa.string(), pa.dictionary(pa.int8(), pa.large_string()))
    for number, kind in enumerate(kinds):
        row = {"id": f"{number}", "captions": ["x"], "title": "=t"}
        plain(path, number, [row], **({"title": kind} if kind else {}))
    return path


def test_datasets_has_the_rows_of_parts_with_other_columns_too(mixed: Path, tmp_path: Path) -> None:
    captions = caption_flow.open_dataset(mixed)
    wanted = [{"title": title, "id": f"{n}"} for n, title in enumerate((None, "=t", "=t"))]

    assert captions.to_datasets(cache_dir=str(tmp_path)).to_list() == list(captions)
    some = captions.to_datasets(cache_dir=str(tmp_path), columns=["title", "id"])
    assert some.to_list() == captions.to_table(["title", "id"]).to_pylist() == wanted
    assert captions.to_arrow().to_table(["title", "id"]).to_pylist() == wanted


def test_what_datasets_does_not_take_is_told(mixed: Path, folder: Path, tmp_path: Path) -> None:
    captions = caption_flow.open_dataset(mixed)
    for options in ({"colour": 1}, {"filters": [("title", "==", "=t")]}):
        with pytest.raises(CaptionFlowError, match="datasets does not take these rows"):
            captions.to_datasets(cache_dir=str(tmp_path), **options)

    with pytest.raises(ConfigError, match='no column is called "caption"'):
        captions.to_datasets(columns=["caption"])
    with pytest.raises(ConfigError, match="do not go with samples that have several"):
        caption_flow.open_dataset(folder).to_datasets(
            cache_dir=str(tmp_path), filters=[("settings_version", "==", 2)]
        )
