"""Keys: what terminals send is named right, however it is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.cli.screen.keys import Keys

SENT = {
    b"q": ["q"],
    b"\x1b[A": ["up"],
    b"\x1bOB": ["down"],
    b"\x1b[5~": ["page up"],
    b"\x1b[6~": ["page down"],
    b"\x1b[1~": ["home"],
    b"\x1b[Z": ["back tab"],
    b"\t": ["tab"],
    b"\x1b[1;5C": [],  # Ctrl and an arrow
    b"\x1b[200~": [],  # a paste begins
    b"\x1b[<0;10;20M": [],  # a mouse
    b"\x1bx": [],  # Alt and a letter
    "é".encode(): [],
    "日".encode(): [],
    b"\x00": [],
    b"2jG": ["2", "j", "G"],
}


@pytest.mark.parametrize("sent", SENT)
def test_key_is_named(sent: bytes):
    assert Keys().feed(sent) == SENT[sent]


@given(st.lists(st.sampled_from(sorted(SENT)), max_size=8), st.data())
def test_keys_are_the_same_in_pieces(sent: list[bytes], data: st.DataObject):
    whole = b"".join(sent)
    keys, found = Keys(), []
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, len(whole) - at))
        found += keys.feed(whole[at : at + size])
        at += size

    assert found == [name for one in sent for name in SENT[one]]
    assert not keys.pending


def test_escape_is_known_by_what_does_not_follow():
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.pending
    assert keys.flush() == ["escape"]
    assert keys.feed(b"[A") == ["[", "A"]


def test_what_never_ends_is_let_go():
    keys = Keys()
    keys.feed(b"\x1b[" + b"1;" * 100)

    assert keys.feed(b"q") == ["q"]


@given(st.binary(max_size=60))
def test_nothing_that_is_sent_does_harm(sent: bytes):
    keys = Keys()
    for name in (*keys.feed(sent), *keys.flush()):
        assert name.isprintable()
