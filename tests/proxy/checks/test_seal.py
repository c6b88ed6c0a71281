"""Sealed ids: the same to each proxy, and like any other to a client."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.proxy.checks.seal import KEY_BYTES, Seal, blank
from caption_flow.wire.frames import Entry

halves = st.integers(min_value=0, max_value=2**64 - 1)
KEY = bytes(range(KEY_BYTES))


@given(halves, halves)
def test_what_is_closed_opens_to_the_same(left, right):
    entry = f"{left}-{right}"
    sealed = Seal(KEY).close(entry)

    assert Seal(KEY).open(sealed) == entry
    assert Seal(KEY).close(Seal(KEY).open(entry)) == entry


@given(st.from_regex(r"\A[0-9]{1,20}-[0-9]{1,20}\Z"))
def test_whatever_a_client_names_opens_to_an_id(entry):
    assert re.fullmatch(r"[0-9]{1,20}-[0-9]{1,20}", Seal(KEY).open(entry))


def test_sealed_and_blank_ids_are_of_one_form():
    sealed = [Seal(KEY).close(f"1764297386000-{n}") for n in range(500)]
    blanks = [blank() for _ in range(500)]

    for entry in (*sealed, *blanks):
        assert msgspec.convert(entry, Entry) == entry
    for ids in (sealed, blanks):
        assert len(set(ids)) == 500
        assert 0.4 < sum(int(entry.split("-")[0]) >> 63 for entry in ids) / 500 < 0.6
    assert sealed != sorted(sealed, key=lambda entry: int(entry.split("-")[0]))


def test_other_keys_seal_otherwise():
    assert Seal(KEY).close("1-0") != Seal(KEY[::-1]).close("1-0")
