"""Whatever a message holds, it is a frame of its side within its bounds, or a breach."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.wire import frames
from caption_flow.wire.closing import REASON_BYTES, Breach, Close, shortened
from caption_flow.wire.fields import MOST_ENTRIES
from caption_flow.wire.frames import (
    MOST_HEAD,
    Complete,
    Credit,
    FromClient,
    FromServer,
    Hello,
    ImageSent,
    Release,
    SettingsTold,
    from_client,
    from_server,
    pack,
)

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
ROW = re.compile(r"^\| \d+ `.*\|$", re.MULTILINE)
NAMED = re.compile(r"(\d+) `(\w+)`")
HELLO = Hello("worker", "host-gpu0-1a2b3c", "host", 1, "caption-flow 1")
KINDS: tuple[type[frames.Frame], ...] = (*get_args(FromClient), *get_args(FromServer))


def head(*fields: object) -> bytes:
    """A message made by hand."""
    packed = msgspec.msgpack.encode(fields)
    return len(packed).to_bytes(4, "big") + packed


def tag(kind: type[Any]) -> int:
    return int(kind.__struct_config__.tag)


def test_page_has_each_number_once_and_no_other():
    told = [int(number) for row in ROW.findall(PAGE) for number, _ in NAMED.findall(row)]

    assert sorted(told) == sorted(map(tag, KINDS))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_page_has_the_fields_of_a_frame_in_their_order(kind: type[Any]):
    [row] = [r for r in ROW.findall(PAGE) if str(tag(kind)) in dict(NAMED.findall(r))]
    told = row.partition(f"{tag(kind)} `")[2]

    at = -1
    for field in kind.__struct_fields__:
        word = {"ours": "booleans"}.get(field, f"`{field}`")
        assert word in told, field
        assert told.index(word) > at or field in {"entries", "lost"}
        at = told.index(word)


def test_payload_follows_the_head_and_is_not_copied():
    message = pack(ImageSent(0, "1-1")) + b"pixels"

    frame, payload = from_server().read(message)

    assert frame == ImageSent(0, "1-1")
    assert payload == b"pixels"
    assert payload.obj is message


def test_document_of_the_settings_stays_bytes():
    told = SettingsTold(3, b'{"a": 1}', "feed on host-a", ("caption",))

    assert from_server().read(pack(told))[0] == told


@pytest.mark.parametrize(
    "message",
    [
        "text",
        b"",
        b"\0\0\0",
        b"\0\0\0\x05ab",
        (MOST_HEAD + 1).to_bytes(4, "big") + bytes(MOST_HEAD + 1),
        head(),
        head(99, 1),
        head(18, 1, ["1-1"]),  # a frame of the other side
        head(12, 0, -1, 0),
        head(12, 64, 1, 1),
        head(24, 1, 0, ["../1-1"]),
        head(24, -1, 0, []),
        head(24, 1, 0, ["1-1"] * (MOST_ENTRIES + 1)),
        head(19, 1, 0, [["1-1", ["text, not bytes"]]]),
        head(22, 1, 0, [["1-1", b"{}", float("nan")]]),
        head(1, "root", "m", "h", 1, "s"),
        head(1, "worker", "a b", "h", 1, "s"),
        pack(HELLO) + b"payload where there is none",
    ],
)
def test_what_is_no_frame_of_a_client_is_a_breach(message: bytes | str):
    with pytest.raises(Breach) as raised:
        from_client().read(message)

    assert raised.value.code in {Close.MALFORMED, Close.LARGE}
    assert len(raised.value.reason.encode()) <= REASON_BYTES


def test_deep_nesting_is_a_breach():
    deep = b"\x91" * 200_000
    message = len(deep).to_bytes(4, "big") + deep

    with pytest.raises(Breach):
        from_client().read(message)


@given(st.binary(max_size=400))
def test_random_bytes_are_a_frame_or_a_breach(noise: bytes):
    for message in (noise, len(noise).to_bytes(4, "big") + noise):
        for reader in (from_client(), from_server()):
            with suppress(Breach):
                reader.read(message)


@given(st.sampled_from([HELLO, Credit(1, 2, 3), Complete(1, 0, (("1-1", (b"{}",)),))]), st.data())
def test_mutated_frames_are_a_frame_or_a_breach(frame: frames.Frame, data: st.DataObject):
    message = bytearray(pack(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Breach):
        from_client().read(bytes(message))


def test_fields_that_a_later_version_adds_are_passed_over():
    assert from_client().read(head(24, 7, 0, ["1-1"], "new"))[0] == Release(7, 0, ("1-1",))


@given(st.text())
def test_reasons_fit_a_close_frame(reason: str):
    assert len(shortened(reason).encode()) <= REASON_BYTES
    assert reason.startswith(shortened(reason))
