"""Tars, places and names from strangers harm nothing but themselves."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from caption_flow.model import Listed, Raw
from tests.feeders.tars import listed, names, pack, pictures, read, source, write


def cut(path: Path, size: int) -> Path:
    os.truncate(path, size)
    return path


def test_a_cut_within_an_image_costs_that_image(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path / "x.tar", pictures(5, size=4000))
    third = int(listed(path)[3].place.split("@")[1].split("+")[0])
    cut(path, third + 100)

    found = read(path)
    assert [raw.error for raw in found[:3]] == ["", "", ""]
    assert found[3].error == "it is cut off: the shard ends within it"
    assert found[3].reason == "truncated"
    assert len(found) == 4
    assert "is truncated: it ends within 00003.jpg" in caplog.text


def test_a_cut_within_a_column_costs_the_columns(tmp_path: Path):
    path = pack(tmp_path / "x.tar", [("0.jpg", b"image"), ("0.txt", b"text" * 200)])
    cut(path, 512 * 3 + 100)

    [raw] = read(path)
    assert (raw.image, raw.error) == (b"image", "")
    assert raw.columns == {"sidecar_error": "0.txt: it is cut off: the shard ends within it"}


@pytest.mark.parametrize("where", [0, 17, 300])
def test_a_cut_within_a_header_costs_what_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: int
):
    path = pack(tmp_path / "x.tar", [("0.jpg", b"image"), ("1.jpg", b"image")])
    cut(path, 1024 + where)

    assert [raw.image for raw in read(path)] == [b"image"]
    assert "is truncated: its end is missing" in caplog.text


def test_damage_costs_what_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write(tmp_path / "x.tar", pictures(5, size=4000))
    data = bytearray(path.read_bytes())
    at = int(listed(path)[2].place.split("@")[1].split("+")[0]) - 512
    data[at : at + 100] = b"\xff" * 100
    path.write_bytes(data)

    assert names(listed(path)) == ["00000", "00001"]
    assert "is damaged at byte" in caplog.text


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header with a valid sum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[124 : 124 + len(size)], block[156:157] = b"0000644\0", size, kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [b"\xff" * 12, b"\x80\0\0\0" + b"\x7f" * 8, b"77777777777"],
)
def test_a_size_that_cannot_be_ends_the_tar(tmp_path: Path, size: bytes):
    good = header(b"0.jpg", b"00000000001\0") + b"x" + bytes(511)
    (tmp_path / "x.tar").write_bytes(good + header(b"1.jpg", size) + bytes(1024))

    found = read(tmp_path / "x.tar")
    assert found[0].image == b"x"
    assert [raw.reason for raw in found[1:]] in ([], ["truncated"])


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"])
def test_long_names_that_are_too_long_are_not_read(tmp_path: Path, kind: bytes):
    good = header(b"0.jpg", b"00000000001\0") + b"x" + bytes(511)
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(good + header(b"long", b"00400000000\0", kind))
        file.truncate(1 << 30)

    assert names(listed(tmp_path / "x.tar")) == ["0"]


def test_headers_without_end_are_no_tar(tmp_path: Path):
    entry = b"30 mtime=1350244992.023960108\n"
    one = header(b"pax", b"00000000036\0", b"x") + entry + bytes(512 - len(entry))
    good = header(b"0.jpg", b"00000000001\0") + b"x" + bytes(511)
    (tmp_path / "x.tar").write_bytes(good + one * 5000)

    assert names(listed(tmp_path / "x.tar")) == ["0"]


def test_names_too_long_to_travel_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = pack(tmp_path / "x.tar", [("a" * 100_000 + ".jpg", b"a"), ("b" * 1000 + ".jpg", b"b")])

    assert names(listed(path)) == ["b" * 1000]
    assert "1 members with names that cannot be used" in caplog.text


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_that_are_long_or_not_utf8_are_read(tmp_path: Path, form: int):
    spelled = ["d" * 200 + "/é.jpg", "\udcff.jpg", "x\ny.jpg", "日本.jpg"]
    path = pack(tmp_path / "x.tar", [(name, b"i") for name in spelled], form)

    found = read(path)
    assert [raw.id.removeprefix("x.tar/") for raw in found] == [
        "d" * 200 + "/é", "\ufffdFF", "x\ny", "日本",
    ]  # fmt: skip
    assert all(raw.image == b"i" for raw in found)


def test_links_and_devices_are_passed_over(tmp_path: Path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
        for number, kind in enumerate((*kinds, tarfile.DIRTYPE)):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        real = tarfile.TarInfo("9.jpg")
        real.size = 1
        tar.addfile(real, io.BytesIO(b"x"))

    assert [raw.id for raw in read(tmp_path / "x.tar")] == ["x.tar/9"]


def test_sparse_files_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    sparse = header(b"0.jpg", b"00000000000\0", b"S")
    good = header(b"1.jpg", b"00000000001\0") + b"x" + bytes(511)
    (tmp_path / "x.tar").write_bytes(sparse + good + bytes(1024))

    assert names(listed(tmp_path / "x.tar")) == ["1"]
    assert "0.jpg is a sparse file" in caplog.text


def test_an_image_that_is_too_large_is_not_read(tmp_path: Path):
    path = pack(tmp_path / "x.tar", [("0.jpg", b"x" * 101), ("1.jpg", b"x" * 100)])

    large, other = read(path, max_file_size=100)
    assert (large.error, large.reason) == ("it has 101 bytes; the limit is 100", "too_many_bytes")
    assert other.image == b"x" * 100


def asked(path: Path, place: str) -> Raw:
    [raw] = source(path).samples(path.name, [Listed("0", place)])
    return raw


@pytest.mark.parametrize(
    "place",
    [
        "jpg@512+99999999999", "jpg@99999999999+1", "jpg@512+5 " * 65, "jpg@-1+5", "jpg@1", "@1+1",
        "exe@512+5", "jpg@512+5 ", " ", "jpg@9999999999999999999+1", "jpg@512+5\n", "jpg@٣+٣",
    ],
)  # fmt: skip
def test_a_strange_place_reads_nothing(tmp_path: Path, place: str):
    raw = asked(pack(tmp_path / "x.tar", [("0.jpg", b"image")]), place)

    assert raw.error
    assert raw.image == b""


def test_a_strange_column_is_not_read(tmp_path: Path):
    raw = asked(pack(tmp_path / "x.tar", [("0.jpg", b"image")]), "jpg@512+5 exe@0+9 txt@0+9999999")

    assert raw.image == b"image"
    assert list(raw.columns) == ["sidecar_error"]


@pytest.mark.parametrize("size", [0, 1, 511])
def test_a_file_too_short_for_a_tar_is_none(tmp_path: Path, size: int):
    write(tmp_path / "0.tar", pictures(1))
    (tmp_path / "1.tar").write_bytes(bytes(size))

    assert len(read(tmp_path)) == 1


def test_an_empty_tar_has_no_samples(tmp_path: Path):
    assert read(pack(tmp_path / "x.tar", [])) == []
