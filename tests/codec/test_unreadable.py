"""Unreadable: an entry that caption-flow did not write is refused by name, whatever is in it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.codec import records
from caption_flow.codec.records import Fields, UnreadableRecord
from caption_flow.model import Failure, Sample

ENTRY = "1700000000000-0"
SAMPLE = records.encode(Sample("id", "data", "shard", "chunk", "source"))
WHY = records.encode(Failure("reason", "detail"))

READERS: dict[str, Callable[[Fields], Any]] = {
    "chunk": lambda fields: records.chunk_from(ENTRY, fields),
    "lease": lambda fields: records.lease_from(ENTRY, "caption", fields, 1),
    "caption": lambda fields: records.caption_from(ENTRY, fields),
    "dead letter": lambda fields: records.dead_letter_from(ENTRY, fields),
}

BROKEN = {
    "nothing": b"",
    "half": SAMPLE[:-5],
    "another noun": b'{"id": 7}',
    "a list": b"[]",
    "not UTF-8": b'{"id": "\xff", "dataset": "", "shard": "", "chunk": "", "source": ""}',
    "half a pair of surrogates in something else": rb'{"id": "\ud800"}',
    "an escape cut off": rb'{"id": "\ud',
    "a deep nest": b'{"columns": {"a": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_entry_is_named(read: Callable[[Fields], Any], data: bytes):
    with pytest.raises(UnreadableRecord, match=ENTRY):
        read({b"chunk": data, b"sample": data, b"why": WHY})


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_foreign_entry_is_named(read: Callable[[Fields], Any]):
    with pytest.raises(UnreadableRecord, match=ENTRY):
        read({b"temperature": b"21"})


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_outcome_is_named(data: bytes):
    with pytest.raises(UnreadableRecord, match=ENTRY):
        records.caption_from(ENTRY, {b"sample": SAMPLE, b"out:caption": data})


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_reason_is_named(data: bytes):
    with pytest.raises(UnreadableRecord, match=ENTRY):
        records.dead_letter_from(ENTRY, {b"sample": SAMPLE, b"why": data})


@given(st.dictionaries(st.sampled_from([b"sample", b"image", b"out:x", b"bytes"]), st.binary()))
def test_any_entry_is_read_or_refused(fields: dict[bytes, bytes]):
    with suppress(UnreadableRecord):
        records.lease_from(ENTRY, "caption", fields, 1)
