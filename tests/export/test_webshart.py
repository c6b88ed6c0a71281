"""`caption-flow export --format webshart`: captions in the indexes of tars."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import webshart

from tests.export.command import export
from tests.export.command import files as tree
from tests.export.shard_makers import (
    PER_SHARD,
    SHARDS,
    key_of,
    make_tars,
    rows_of_tars,
    scatter,
)
from tests.view.parts import part_name, write_part

INDEXES = ("00000.json", "00001.json", "00002.json")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tars(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def extracted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The indexes as webshart itself makes them: all in one folder."""
    folder = tmp_path_factory.mktemp("extracted")
    webshart.MetadataExtractor().extract_metadata(str(source), str(folder), max_workers=1)
    return folder


@pytest.fixture
def indexes(extracted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(extracted, tmp_path / "indexes"))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return scatter(tmp_path / "captions" / "tars", rows_of_tars())


def words(job: Path, indexes: Path, out: Path) -> tuple[object, ...]:
    return (job, "--format", "webshart", "--metadata", indexes, "-o", out)


def value(captions: list[str]) -> str | list[str]:
    return captions[0] if len(captions) == 1 else captions


def entries(path: Path) -> dict[str, Any]:
    files: dict[str, Any] = json.loads(path.read_bytes())["files"]
    return files


def test_webshart_finds_the_captions_of_each_image(
    source: Path, indexes: Path, job: Path, tmp_path: Path
):
    said = export(*words(job, indexes, tmp_path / "out"))
    dataset = webshart.discover_dataset(str(source / "sub"), metadata=str(tmp_path / "out"))
    loader = webshart.TarDataLoader(dataset)
    wanted = {row["id"]: value(row["captions"]) for row in rows_of_tars()}

    assert said.code == 0, said.words
    found = {}
    for place in range(dataset.num_shards):
        shard = f"sub/{dataset.get_shard_info(place)['name']}.tar"
        for number in range(PER_SHARD):
            entry = loader.load_sample(place, number)
            found[f"{shard}/{entry.path.partition('.')[0]}"] = entry.captions
    assert found == {id_: text for id_, text in wanted.items() if id_.startswith("sub/")}


def test_all_else_in_an_index_stays_as_it_was_written(indexes: Path, job: Path, tmp_path: Path):
    path = indexes / INDEXES[0]
    whole = json.loads(path.read_bytes())
    name = f"{key_of(3)}.jpg"
    whole["files"][name] |= {"caption": "old", "score": "NUMBER", "own": {"ü": None}}
    whole |= {"hash": None, "more": [1]}
    path.write_text(json.dumps(whole).replace('"NUMBER"', "1.10e+2"))
    export(*words(job, indexes, tmp_path / "out"))

    raw = (tmp_path / "out" / INDEXES[0]).read_text()
    made = json.loads(raw)
    assert '"score":1.10e+2' in raw
    for one in made["files"].values():
        del one["captions"]
    del whole["files"][name]["caption"]
    whole["files"][name]["score"] = 110.0
    assert made == whole


def test_entries_in_a_list_get_captions_too(job: Path, tmp_path: Path):
    files = [{"path": f"./{key_of(n)}.jpg", "offset": 0, "length": 1} for n in range(PER_SHARD)]
    files.append({"path": f"./{key_of(0)}.json", "offset": 0, "length": 1})
    (tmp_path / "indexes" / "sub").mkdir(parents=True)
    (tmp_path / "indexes" / "sub" / "00000.json").write_text(json.dumps({"files": files}))
    export(*words(job, tmp_path / "indexes", tmp_path / "out"), "--shard", SHARDS[0])

    made = entries(tmp_path / "out" / "sub" / "00000.json")
    assert [one.get("captions") for one in made] == [
        *(value(row["captions"]) for row in rows_of_tars(SHARDS[:1])),
        None,
    ]


def test_of_several_images_of_a_key_the_captioned_one_gets_the_captions(tmp_path: Path):
    row = rows_of_tars(["a.tar"])[0] | {"source": "https://host/a.tar#cat/0000.seg.png"}
    again = row | {"id": "a.tar/cat/0000~2", "source": "https://host/a.tar#cat/0000~2.webp"}
    write_part(tmp_path / "job", part_name(0), [row, again])
    names = [f"cat/0000.{one}" for one in ("jpg", "seg.png", "webp")]
    index = tmp_path / "indexes" / "a.json"
    index.parent.mkdir()
    index.write_text(json.dumps({"files": {name: {} for name in names}}))
    export(*words(tmp_path / "job", tmp_path / "indexes", tmp_path / "out"))

    assert [name for name, one in entries(tmp_path / "out/a.json").items() if one] == names[1:]


def test_shards_without_an_index_and_samples_without_an_entry_are_told(
    indexes: Path, job: Path, tmp_path: Path
):
    (indexes / INDEXES[0]).unlink()
    whole = json.loads((indexes / INDEXES[1]).read_bytes())
    del whole["files"][f"{key_of(4)}.png"]
    (indexes / INDEXES[1]).write_text(json.dumps(whole))
    said = export(*words(job, indexes, tmp_path / "out"))

    assert "Exported 39 samples" in said.out
    assert said.code == 1
    assert "21 samples are left out" in said.err
    assert "1 shards have no index in --metadata, such as sub/00000.tar" in said.err
    assert "1 samples are in no index of their shard, such as sub/00001.tar/cat/0004" in said.err


def test_indexes_are_changed_in_place_only_on_demand(indexes: Path, job: Path, tmp_path: Path):
    before = tree(indexes)
    said = export(*words(job, indexes, indexes))
    assert "is there already: --overwrite replaces it" in said.err
    assert tree(indexes) == before

    export(*words(job, indexes, tmp_path / "out"))
    export(*words(job, indexes, indexes), "--overwrite")
    assert tree(indexes) == tree(tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", '{"files": 1}', "{}"])
def test_what_is_no_index_is_told_by_name(indexes: Path, job: Path, tmp_path: Path, text: str):
    (indexes / "00002.json").write_text(text)
    said = export(*words(job, indexes, tmp_path / "out"))

    assert "00002.json is no index of webshart" in said.err


def test_names_of_shards_lead_nowhere_else(tmp_path: Path):
    (tmp_path / "secret.json").write_text('{"files": {}}')
    (tmp_path / "indexes").mkdir()
    (tmp_path / "indexes" / "a.json").write_text('{"files": {}}')
    write_part(tmp_path / "job", part_name(0), rows_of_tars(["../secret.tar", "/etc/x.tar"]))
    said = export(*words(tmp_path / "job", tmp_path / "indexes", tmp_path / "out"))

    assert "2 shards have no index" in said.err
    assert tree(tmp_path / "out") == {}
