"""Tars give the samples that WebDataset's own loader gives, wherever reading begins."""

import itertools
import json
import logging
import os
import random
import tarfile
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from webdataset.tariterators import group_by_keys, tar_file_iterator

from caption_flow.dataset.source import GROUP, ShardChanged
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Listed
from feeders.webdataset import WebDatasetSource
from tests.feeders.tars import everything, listed, names, pack, pictures, read, source, write


def reference(path: Path) -> list[dict[str, Any]]:
    """What the webdataset package reads."""
    with path.open("rb") as file:
        found = ({**one, "__url__": path.name} for one in tar_file_iterator(file))
        return list(group_by_keys(found))


def test_samples_are_those_of_the_webdataset_package(tmp_path: Path):
    texts = {"json": {"a": 1}, "txt": "hello"}
    path = write(tmp_path / "x.tar", pictures(50, **texts))

    found = read(path)
    assert [(raw.id, raw.image) for raw in found] == [
        (f"x.tar/{one['__key__']}", one["jpg"]) for one in reference(path)
    ]
    assert {json.dumps(raw.columns) for raw in found} == {'{"a": 1, "txt": "hello"}'}


def test_keys_are_those_of_the_webdataset_package(tmp_path: Path):
    spelled = ["a/b.c/1.jpg", "a/b.c/1.json", "b.JPG", "c.x.jpg", "c.jpg", ".hid.jpg", "noext",
               "e/f", "/abs/g.jpg", "../up.jpg", "h i.jpg", "__m__/x.jpg"]  # fmt: skip
    path = pack(tmp_path / "x.tar", [(name, b"{}") for name in spelled])

    expected = [one["__key__"] for one in reference(path)]
    assert names(listed(path)) == expected
    assert expected == ["a/b.c/1", "b", "c", "/abs/g", "../up", "h i"]


def test_hidden_members_are_passed_over(tmp_path: Path):
    spelled = [".a.jpg", "d/.b.jpg", "d/._c.jpg", "./e.jpg", "__MACOSX/._f.jpg"]
    path = pack(tmp_path / "x.tar", [(name, b"i") for name in spelled])

    assert names(listed(path)) == ["e"]


def test_what_img2dataset_writes_is_read_and_its_table_is_passed_over(tmp_path: Path):
    entries = []
    for n in range(3):
        about = {"url": f"https://x.org/{n}", "width": 4, "exif": None, "status": "success"}
        entries += [
            (f"00000000{n}.jpg", b"image"),
            (f"00000000{n}.json", json.dumps(about).encode()),
            (f"00000000{n}.txt", b"a caption"),
        ]
    pack(tmp_path / "00000.tar", entries)
    (tmp_path / "00000.parquet").write_bytes(b"PAR1")
    (tmp_path / "00000_stats.json").write_text("{}")

    found = read(tmp_path)
    assert [raw.id for raw in found] == [f"00000.tar/00000000{n}" for n in range(3)]
    assert found[2].columns == {
        "url": "https://x.org/2", "width": 4, "exif": None, "status": "success", "txt": "a caption",
    }  # fmt: skip
    assert found[2].source == f"{tmp_path}/00000.tar#000000002.jpg"


def test_the_kind_is_an_entry_point():
    document = tomllib.loads(Path("pyproject.toml").read_text())
    value = document["project"]["entry-points"][GROUP]["webdataset"]

    assert EntryPoint("webdataset", value, GROUP).load() is WebDatasetSource


def test_columns_are_by_extension_and_may_be_chosen(tmp_path: Path):
    sample = {"__key__": "0", "jpg": b"i", "json": {"a": 1, "b": 2}, "txt": "t", "cls": 7,
              "md.text": b"m"}  # fmt: skip
    path = write(tmp_path / "x.tar", [sample])

    assert read(path)[0].columns == {"a": 1, "b": 2, "txt": "t", "cls": 7}
    assert read(path, columns=("b", "md.text"))[0].columns == {"b": 2, "md.text": "m"}
    assert read(path, columns=("txt",))[0].columns == {"txt": "t"}
    assert read(path, columns=())[0].columns == {}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("json", b"{", "0.json: is not JSON"),
        ("json", b"[1]", "0.json: is JSON, but not an object"),
        ("txt", b"\xff", "0.txt: is not UTF-8"),
        ("cls", b"cat", "0.cls: is no whole number"),
        ("cls", b"9" * 30, "0.cls: is too large a number"),
        ("txt", b"x" * (1 << 20 | 1), "0.txt: it has 1,048,577 bytes"),
    ],
)
def test_a_bad_member_costs_the_columns_only(
    tmp_path: Path, name: str, content: bytes, problem: str
):
    path = pack(tmp_path / "x.tar", [("0.jpg", b"image"), (f"0.{name}", content)])

    [raw] = read(path)
    assert (raw.image, raw.error) == (b"image", "")
    assert raw.columns["sidecar_error"].startswith(problem)


def test_of_several_images_the_preferred_one_is_captioned(tmp_path: Path):
    entries = [(f"0.{kind}", kind.encode()) for kind in ("txt", "seg.png", "webp", "png", "mask")]
    path = pack(tmp_path / "x.tar", entries)

    assert read(path)[0].image == b"png"
    assert read(path, image_column="webp")[0].image == b"webp"
    assert read(path, image_column="seg.png")[0].image == b"seg.png"
    assert read(path, image_column="mask")[0].image == b"mask"


def test_an_image_with_more_dots_is_an_image_where_there_is_no_better(tmp_path: Path):
    path = pack(tmp_path / "x.tar", [("a.2.png", b"2"), ("a.1.jpg", b"1"), ("b.v1.jpg", b"b")])

    assert [raw.image for raw in read(path)] == [b"1", b"b"]


def test_a_sample_without_an_image_is_none_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = pack(tmp_path / "x.tar", [("0.txt", b"t"), ("1.jpg", b"i"), ("2.json", b"{}")])

    assert names(listed(path)) == ["1"]
    assert [r.message for r in caplog.records] == [
        f"Samples passed over in {path}: 2 without an image"
    ]


def test_a_key_that_comes_again_has_a_name_of_its_own(tmp_path: Path):
    keys = ["a", "b", "a", "a~2", "b", "a", "a~2"]
    path = pack(tmp_path / "x.tar", [(f"{k}.jpg", bytes([n])) for n, k in enumerate(keys)])

    found = read(path)
    assert [raw.id.removeprefix("x.tar/") for raw in found] == [
        "a", "b", "a~2", "a~2~2", "b~2", "a~3", "a~2~3",
    ]  # fmt: skip
    assert [raw.image for raw in found] == [bytes([n]) for n in range(7)]


def test_one_extension_twice_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = pack(tmp_path / "x.tar", [("0.jpg", b"first"), ("0.JPG", b"second")])

    assert [raw.image for raw in read(path)] == [b"first"]
    assert "1 with two members of one extension" in caplog.text


def test_reading_begins_anywhere(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(30, txt="t"))
    made = source(path)
    plan = list(made.names("x.tar", None))

    for start in range(30):
        assert list(made.names("x.tar", plan[start])) == plan[start + 1 :]
        [raw] = made.samples("x.tar", plan[start : start + 1])
        assert raw.image[:4] == start.to_bytes(4, "big")
    assert len(list(made.samples("x.tar", plan[11:]))) == 19


def test_samples_come_in_the_order_asked(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(40, txt="t", cls=1))
    made = source(path)
    plan = list(made.names("x.tar", None))
    random.Random(7).shuffle(plan)

    found = list(made.samples("x.tar", plan))
    assert [raw.id for raw in found] == [f"x.tar/{one.name}" for one in plan]
    assert all(raw.image[:4] == int(raw.id[-5:]).to_bytes(4, "big") for raw in found)


def test_a_sample_without_a_place_is_found_by_its_name(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(20))
    made = source(path)

    wanted = [Listed("00013"), Listed("00002"), Listed("nobody")]
    found = list(made.samples("x.tar", wanted))
    assert [raw.image[:4] for raw in found[:2]] == [(13).to_bytes(4, "big"), (2).to_bytes(4, "big")]
    assert found[2].error == "the shard has no sample of this name"


def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is read of files from now on."""
    counted: list[int] = []
    real = os.pread

    def pread(fd: int, length: int, at: int) -> bytes:
        data = real(fd, length, at)
        counted.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", pread)
    return counted


def test_a_chunk_resumed_near_its_end_reads_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "x.tar", pictures(1000, size=4000))
    made = source(path)
    plan = list(made.names("x.tar", None))
    counted = bytes_read(monkeypatch)

    assert len(list(made.samples("x.tar", plan[900:]))) == 100
    assert sum(counted) < path.stat().st_size * 0.11


def test_what_lies_between_is_jumped_over_where_it_is_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "x.tar", pictures(30, size=100_000))
    made = source(path)
    plan = list(made.names("x.tar", None))
    counted = bytes_read(monkeypatch)

    assert len(list(made.samples("x.tar", plan[::10]))) == 3
    assert sum(counted) == 3 * (512 + 100_000)


def test_a_tar_that_was_read_once_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "x.tar", pictures(100))
    before = listed(path)
    counted = bytes_read(monkeypatch)

    assert listed(path) == before
    assert counted == []
    assert listed(path, columns=()) == before  # another choice is another index
    assert counted != []


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(3))
    (tmp_path / "file").touch()

    assert len(listed(path, cache=tmp_path / "file" / "cache")) == 3


@pytest.mark.parametrize("damage", [b"", b"caption-flow tar index 1\n", b"x" * 5000])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: bytes):
    path = write(tmp_path / "x.tar", pictures(3))
    before = listed(path)
    [kept] = (tmp_path / ".cache").rglob("*.idx")
    kept.write_bytes(kept.read_bytes()[:150] + damage)

    assert listed(path) == before


def test_a_tar_that_changed_is_not_read_as_it_was_planned(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(5))
    made = source(path)
    plan, fingerprint = list(made.names("x.tar", None)), made.fingerprint("x.tar")
    write(path, pictures(6))

    with pytest.raises(ShardChanged, match="has changed since it was planned"):
        list(made.samples("x.tar", plan, fingerprint))
    assert len(list(made.names("x.tar", None))) == 6
    with pytest.raises(ShardChanged, match="no sample gone any more"):
        list(made.names("x.tar", Listed("gone")))


def test_a_tar_that_is_gone_has_changed(tmp_path: Path):
    write(tmp_path / "w.tar", pictures(5))
    path = write(tmp_path / "x.tar", pictures(5))
    made = source(tmp_path)
    plan = list(made.names("x.tar", None))
    path.unlink()

    with pytest.raises(ShardChanged, match="not there"):
        list(made.samples("x.tar", plan, "1-2"))
    assert made.fingerprint("x.tar") == ""


def test_the_size_of_images_is_told_without_reading_them(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(10, size=400, txt="t"))
    made = source(path)
    plan = list(made.names("x.tar", None))

    assert made.size("x.tar", plan) == 4000
    assert made.size("x.tar", [Listed("00003"), Listed("nobody"), Listed("x", "bad")]) == 400
    assert made.size("gone.tar", plan) is None


def test_shards_are_listed_from_anywhere(tmp_path: Path):
    for name in ("a/1.tar", "a/2.tar", "b.tar"):
        write(tmp_path / name, pictures(1))

    assert list(source(tmp_path).shards()) == ["a/1.tar", "a/2.tar", "b.tar"]
    assert list(source(tmp_path).shards("a/2.tar")) == ["a/2.tar", "b.tar"]
    assert source(tmp_path).dataset == tmp_path.name


def test_a_bad_shard_is_passed_over_and_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name in ("0.tar", "3.tar"):
        write(tmp_path / name, pictures(2))
    (tmp_path / "1.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "2.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))

    found = everything(source(f"{tmp_path}/{{0,1,3,4}}.tar::{tmp_path}/*.gz", tmp_path / ".c"))
    assert [raw.id for raw in found] == [f"{s}.tar/0000{n}" for s in (0, 3) for n in (0, 1)]
    told = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert [words.split(":")[0] for words in told] == [
        "Passing over the shard 1.tar",
        "Passing over the shard 2.tar.gz",
        "Passing over the shard 4.tar",
    ]
    assert "Unpack it to a plain .tar" in told[1]


def test_a_bad_first_shard_is_an_error(tmp_path: Path):
    (tmp_path / "0.tar").write_bytes(b"no tar at all" * 100)
    write(tmp_path / "1.tar", pictures(2))

    with pytest.raises(SourceError, match=r"The first shard, 0\.tar, cannot be read: it is no tar"):
        read(tmp_path)


def test_references_to_files_of_this_host_are_refused(tmp_path: Path):
    write(tmp_path / "0.tar", pictures(1))

    with pytest.raises(ConfigError, match='Set images to "inline" or "auto"'):
        source(tmp_path, images="reference")


def test_an_unknown_option_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no option "shards"'):
        source(tmp_path, extra={"shards": 3})


def test_what_is_held_does_not_grow_with_the_shards(tmp_path: Path):
    for n in range(12):
        write(tmp_path / f"{n:02d}.tar", pictures(20))
    made = source(tmp_path)

    held = []
    for shard in itertools.islice(made.shards(), 12):
        list(made.names(shard, None))
        held.append(len(made._shelf._newest))
    assert held[-1] == held[2] == 2


def test_images_of_a_tar_that_was_replaced_unnoticed_are_no_other_samples(tmp_path: Path):
    """Tars are padded to one size, and copies may keep a time that was set for all."""
    path = write(tmp_path / "x.tar", pictures(5))
    os.utime(path, (1, 1))
    made = source(path)
    plan = list(made.names("x.tar", None))
    write(path, pictures(6)[1:])
    os.utime(path, (1, 1))

    found = list(made.samples("x.tar", plan, made.fingerprint("x.tar")))
    assert [(raw.reason, raw.image) for raw in found] == [("changed", b"")] * 5
    assert "does not stand where the plan says" in found[0].error


@pytest.mark.parametrize(
    "key", ["a", "a~2", "./a", "d/a b", "\u00e9", "x" * 95, "d" * 95 + "/x", "A.b", "0~1~2"]
)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_are_found_under_names_of_any_kind(tmp_path: Path, key: str, form: int):
    members = [(f"{key}.JPG", b"one"), (f"{key}.txt", b"1"), ("other.jpg", b"two")]
    path = pack(tmp_path / "x.tar", [*members, (f"{key}.JPG", b"again")], form)

    assert [raw.image for raw in read(path)] == [b"one", b"two", b"again"]


def test_the_kept_list_of_a_tar_is_not_used_for_another_of_its_size_and_time(tmp_path: Path):
    path = write(tmp_path / "x.tar", pictures(5))
    os.utime(path, (1, 1))
    read(path)
    write(path, pictures(6)[1:])
    os.utime(path, (1, 1))

    found = read(path)
    assert [raw.id for raw in found] == [f"x.tar/{n:05d}" for n in range(1, 6)]


def test_a_tar_behind_another_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path / "x.tar", pictures(30))
    assert len(read(path)) == 30
    assert caplog.text == ""

    path.write_bytes(path.read_bytes() * 2)
    assert len(read(path)) == 30
    assert "holds another tar behind its end" in caplog.text
