"""Names that are no text, or hardly any, reach the books and come back to their files."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeders.spelling import from_text, to_text
from tests.feeders.tree import ids, names, read_one

RAW_NAMES = st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47} & set(raw))

WEIRD = [
    *(b"caf\xe9.jpg", b"\xff\xfe.jpg", b"\xed\xa0\x80.jpg", "\ufffd.jpg".encode()),
    *(b"new\nline.jpg", b" .jpg", b"100%20.jpg", b"-rf.jpg", b"\x1b[31m.jpg", b'"\\.jpg'),
    *("\u202egpj.jpg".encode(), "😀.jpg".encode(), "e\u0301.jpg".encode()),
]


@pytest.mark.parametrize("raw", WEIRD)
def test_a_weird_name_is_listed_and_read(tmp_path: Path, raw: bytes):
    Path(os.fsdecode(bytes(tmp_path) + b"/" + raw)).write_bytes(b"content")

    [name] = names(tmp_path)

    assert read_one(tmp_path, ".", name).image == b"content"


@pytest.mark.parametrize("raw", WEIRD)
def test_a_weird_name_is_valid_unicode_in_the_books(tmp_path: Path, raw: bytes):
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/" + raw))
    folder.mkdir()
    (folder / folder.name).touch()

    [identity] = ids(tmp_path)

    assert identity.encode().count(b"/") == 1


def test_an_ordinary_name_is_spelled_as_it_is():
    assert to_text("Grüße 100%.jpg") == "Grüße 100%.jpg"


def test_a_byte_that_is_no_utf8_is_spelled_in_hex():
    assert to_text(os.fsdecode(b"caf\xe9.jpg")) == "caf\ufffdE9.jpg"


@given(RAW_NAMES)
@example("\ufffd".encode())
@example("\ufffdE9".encode())
def test_any_name_comes_back_from_its_spelling(raw: bytes):
    spelled = to_text(os.fsdecode(raw))

    assert os.fsencode(from_text(spelled)) == raw


@given(RAW_NAMES, RAW_NAMES)
def test_two_names_are_never_spelled_alike(one: bytes, other: bytes):
    assert (to_text(os.fsdecode(one)) == to_text(os.fsdecode(other))) == (one == other)


@given(st.text(max_size=30))
@example("\ufffd2F")
@example("\ufffd00")
def test_a_spelling_never_brings_in_a_slash_or_a_nul(text: str):
    try:
        name = from_text(text)
    except ValueError:
        return

    assert (name.count("/"), name.count("\0")) == (text.count("/"), text.count("\0"))
