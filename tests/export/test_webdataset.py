"""`caption-flow export --format webdataset`: tars of samples, read by who trains from them."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webdataset import tariterators

from caption_flow.export.formats import tars
from tests.e2e.desk import Ended
from tests.export.command import export
from tests.export.command import files as tree
from tests.export.shard_makers import (
    PER_SHARD,
    SHARDS,
    image_of,
    make_tars,
    rows_of_tars,
    scatter,
    texts,
)
from tests.view.parts import numbered, part_name, write_part

FORMAT = ("--format", "webdataset")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tars(tmp_path / "data")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return scatter(tmp_path / "captions" / "tars", rows_of_tars())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def images(source: Path) -> tuple[object, ...]:
    return (*FORMAT, "--dataset", source, "--set", "dataset.type=webdataset")


def samples(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        with path.open("rb") as file:
            opened = [{"url": str(path), "stream": file}]
            yield from tariterators.group_by_keys(tariterators.tar_file_expander(opened))


def done(said: Ended) -> str:
    assert said.code == 0, said.words
    return said.out


def test_each_image_has_its_captions_in_the_tars_that_webdataset_reads(
    source: Path, job: Path, out: Path
):
    done(export(job, *images(source), "-o", out, "--rows-per-file", 25))
    found = {one["__key__"]: one for one in samples(*sorted(out.glob("*.tar")))}

    assert sorted(one.name for one in out.glob("*.tar")) == ["00000.tar", "00001.tar", "00002.tar"]
    assert len(found) == len(rows_of_tars())
    for row in rows_of_tars():
        one = found[row["id"]]
        [image] = (data for name, data in one.items() if name in {"jpg", "png", "webp"})
        assert image == image_of(row["shard"], int(row["id"][-4:]))
        assert row["format"][:3].replace("jpe", "jpg").replace("web", "webp") in one
        assert one["txt"].decode() == texts(row)
        about = json.loads(one["json"])
        assert (about["id"], about["captions"]) == (row["id"], row["captions"])


def test_captions_alone_go_side_by_side_with_the_tars_of_the_images(
    source: Path, job: Path, out: Path
):
    done(export(job, *FORMAT, "--captions-only", "-o", out))

    assert sorted(tree(out)) == sorted(SHARDS)
    for shard in SHARDS:
        pairs = list(zip(samples(source / shard), samples(out / shard), strict=True))
        assert len(pairs) == PER_SHARD
        for image, caption in pairs:
            assert image["__key__"] == caption["__key__"]
            assert json.loads(caption["json"])["id"] == f"{shard}/{image['__key__']}"
        wanted = [texts(row) for row in rows_of_tars([shard])]
        assert [caption["txt"].decode() for _, caption in pairs] == wanted


def test_captions_of_no_tars_are_in_numbered_ones(tmp_path: Path, out: Path):
    write_part(tmp_path / "photos", part_name(0), numbered(0, 10))
    done(export(tmp_path / "photos", *FORMAT, "--captions-only", "-o", out, "--rows-per-file", 4))

    assert sorted(tree(out)) == ["00000.tar", "00001.tar", "00002.tar"]
    assert [one["__key__"] for one in samples(out / "00002.tar")] == [
        "00000/img-00000008",
        "00000/img-00000009",
    ]


def test_a_tar_ends_before_it_is_too_large(
    source: Path, job: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tars, "_MOST_BYTES", 300_000)
    done(export(job, *images(source), "-o", out))

    sizes = [one.stat().st_size for one in out.glob("*.tar")]
    assert len(sizes) > 2
    assert max(sizes) < 320_000


def test_a_sample_without_an_image_is_left_out_and_told(source: Path, job: Path, out: Path):
    (source / "00002.tar").unlink()
    said = export(job, *images(source), "-o", out)

    assert "Exported 40 samples" in said.out
    assert said.code == 1
    assert "20 samples are left out" in said.err
    assert "--captions-only" in said.err
    assert said.err.count("Leaving out 00002.tar/cat/") == 5
    assert len(list(samples(*sorted(out.glob("*.tar"))))) == 40


def test_where_nobody_knows_the_images_it_is_told_what_to_do(job: Path, out: Path):
    said = export(job, *FORMAT, "-o", out)

    assert said.code == 1
    assert "--dataset PATH says where they are, and --captions-only leaves them out" in said.err


def test_only_tars_of_an_export_are_replaced_and_all_of_them(source: Path, job: Path, out: Path):
    done(export(job, *images(source), "-o", out, "--rows-per-file", 10))
    said = export(job, *images(source), "-o", out)
    assert "is there already: --overwrite replaces it" in said.err

    done(export(job, *images(source), "-o", out, "--overwrite"))
    assert sorted(tree(out)) == ["00000.tar"]


def test_tars_of_somebody_else_are_never_replaced(source: Path, job: Path):
    before = tree(source)
    said = export(job, *FORMAT, "--captions-only", "-o", source, "--overwrite")

    assert "was not written by an export" in said.err
    assert tree(source) == before


def test_names_of_samples_and_shards_lead_nowhere_else(tmp_path: Path, out: Path):
    shards = ("../../up.tar", "/root.tar", "a/../b.tar", "fine.tar")
    rows = rows_of_tars(shards)
    rows += [rows[0] | {"id": "fine.tar/../../../x", "shard": "fine.tar"}]
    write_part(tmp_path / "job", part_name(0), rows)
    done(export(tmp_path / "job", *FORMAT, "--captions-only", "-o", out))

    names = []
    for path in out.rglob("*.tar"):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert len(names) == 2 * len(rows)
    assert not [name for name in names if name.startswith("/") or ".." in name.split("/")]
    assert len(tree(out)) == len(shards)
    assert not (tmp_path / "up.tar").exists()


def test_samples_whose_keys_come_out_alike_are_told_apart(tmp_path: Path, out: Path):
    ids = ("a/x.jpg", "a/x.png", "a/x.y.jpg", "a/x_y.jpg", "__meta__/x.jpg", "ü/" + 120 * "é")
    rows = [row | {"id": id_} for row, id_ in zip(numbered(0, 6), ids, strict=True)]
    write_part(tmp_path / "job", part_name(0), rows)
    done(export(tmp_path / "job", *FORMAT, "--captions-only", "-o", out))

    found = {json.loads(one["json"])["id"]: one["__key__"] for one in samples(out / "00000.tar")}
    assert sorted(found) == sorted(ids)
    assert len(set(found.values())) == len(ids)
