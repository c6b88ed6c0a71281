"""Files beside an image become its columns; broken ones cost columns, not the caption."""

from pathlib import Path

import msgspec
import pytest

from caption_flow.errors import ConfigError
from caption_flow.model import Columns, Raw
from feeders import sidecars
from tests.feeders.tree import grow, read_one, source


def sample(root: Path, *kinds: str, **files: bytes) -> Raw:
    grow(root, "a.b.jpg")
    for kind, content in files.items():
        (root / f"a.b.{kind}").write_bytes(content)
    return read_one(root, ".", "a.b.jpg", sidecars=kinds)


def columns(root: Path, *kinds: str, **files: bytes) -> Columns:
    return sample(root, *kinds, **files).columns


def test_members_of_an_object_become_columns_of_their_json_types(tmp_path: Path):
    content = {"n": 1, "x": 0.5, "t": "ü", "b": True, "z": None, "l": [1, "2"], "o": {"k": []}}

    assert columns(tmp_path, "json", json=msgspec.json.encode(content)) == content


def test_text_becomes_the_column_text(tmp_path: Path):
    assert columns(tmp_path, "txt", txt="Ein Käfer\n".encode()) == {"text": "Ein Käfer"}


def test_text_may_begin_with_a_byte_order_mark(tmp_path: Path):
    assert columns(tmp_path, "txt", txt=b"\xef\xbb\xbfhello") == {"text": "hello"}


def test_both_kinds_are_merged(tmp_path: Path):
    assert columns(tmp_path, "json", "txt", json=b'{"a": 1}', txt=b"t") == {"a": 1, "text": "t"}


def test_the_kind_named_later_wins(tmp_path: Path):
    assert columns(tmp_path, "json", "txt", json=b'{"text": 1}', txt=b"t") == {"text": "t"}


def test_sidecars_not_asked_for_are_not_read(tmp_path: Path):
    assert columns(tmp_path, json=b'{"a": 1}', txt=b"t") == {}


def test_an_image_without_a_sidecar_has_no_columns(tmp_path: Path):
    assert columns(tmp_path, "json", "txt") == {}


BROKEN = {
    "cut": (b'{"a":', "is not JSON"),
    "nothing": (b"", "is not JSON"),
    "list": (b"[1]", "not an object"),
    "number": (b"1", "not an object"),
    "bytes": (b"\xff\xfe", "is not JSON"),
    "not a number": (b'{"a": NaN}', "is not JSON"),
    "half a character": (b'{"a": "\\ud800"}', "is not JSON"),
    "deep": (b'{"a": ' + b"[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_sidecar_is_told_in_a_column(tmp_path: Path, kind: str):
    content, words = BROKEN[kind]

    found = columns(tmp_path, "json", json=content)

    assert list(found) == ["sidecar_error"]
    assert words in found["sidecar_error"]
    assert found["sidecar_error"].startswith("a.b.json: ")


def test_a_broken_sidecar_leaves_the_image_and_the_other_sidecar(tmp_path: Path):
    raw = sample(tmp_path, "json", "txt", json=b"?", txt=b"t")

    assert (raw.image, raw.error, raw.columns["text"]) == (b"a.b.jpg", "", "t")


def test_two_broken_sidecars_are_both_told(tmp_path: Path):
    found = columns(tmp_path, "json", "txt", json=b"?", txt=b"\xff")

    assert found["sidecar_error"].count("a.b.") == 2


def test_a_sidecar_that_is_too_large_is_told(tmp_path: Path):
    found = columns(tmp_path, "txt", txt=b" " * (sidecars.MAX_BYTES + 1))

    assert "the limit is" in found["sidecar_error"]


def test_a_sidecar_that_is_a_link_out_is_told(tmp_path: Path):
    grow(tmp_path, "secret.json", "root/a.jpg")
    (tmp_path / "root/a.json").symlink_to("../secret.json")

    raw = read_one(tmp_path / "root", ".", "a.jpg", sidecars=("json",))

    assert "link" in raw.columns["sidecar_error"]


def test_a_kind_that_nobody_reads_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no sidecars "xml"; it reads json, txt'):
        source(tmp_path, sidecars=("xml",))
