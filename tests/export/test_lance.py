"""`caption-flow export --format lance`: a data set of Lance."""

import sys
from pathlib import Path

import lance
import pytest

from tests.export.command import export
from tests.export.shard_makers import rows_of_tars, scatter

FORMAT = ("--format", "lance")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return scatter(tmp_path / "captions" / "tars", rows_of_tars())


def test_lance_reads_the_same_ids_and_texts(job: Path, tmp_path: Path):
    said = export(job, *FORMAT, "-o", tmp_path / "out.lance", "--rows-per-file", 25)
    dataset = lance.dataset(str(tmp_path / "out.lance"))
    found = {row["id"]: row for row in dataset.to_table().to_pylist()}

    assert "Exported 60 samples" in said.out
    assert [fragment.count_rows() for fragment in dataset.get_fragments()] == [25, 25, 10]
    assert len(found) == 60
    for row in rows_of_tars():
        assert {name: found[row["id"]][name] for name in row} == row


def test_each_caption_can_have_a_row(job: Path, tmp_path: Path):
    export(job, *FORMAT, "-o", tmp_path / "out.lance", "--explode")
    table = lance.dataset(str(tmp_path / "out.lance")).to_table(columns=["id", "caption"])

    wanted = [(row["id"], text) for row in rows_of_tars() for text in row["captions"]]
    assert sorted(map(tuple, map(dict.values, table.to_pylist()))) == sorted(wanted)


def test_no_rows_make_a_data_set_without_rows(job: Path, tmp_path: Path):
    export(job, *FORMAT, "-o", tmp_path / "out.lance", "--where", "width > 9999")

    assert lance.dataset(str(tmp_path / "out.lance")).count_rows() == 0


def test_a_data_set_is_replaced_only_on_demand_and_other_folders_never(job: Path, tmp_path: Path):
    words = (job, *FORMAT, "-o", tmp_path / "out.lance")
    export(*words)
    assert "is there already: --overwrite replaces it" in export(*words).err
    export(*words, "--overwrite", "--limit", 5)
    assert lance.dataset(str(tmp_path / "out.lance")).count_rows() == 5

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    said = export(job, *FORMAT, "-o", mine, "--overwrite")
    assert "is no data set of Lance" in said.err
    assert (mine / "thesis.txt").exists()


def test_without_lance_it_is_told_how_to_install_it(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "lance", None)
    said = export(job, *FORMAT, "-o", tmp_path / "out.lance")

    assert 'pip install "caption-flow[lance]"' in said.err
