"""Forged messages: each frame of a worker, right but for what a stranger has done to it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st

from caption_flow.wire.frames import (
    Beat,
    Complete,
    CountsWanted,
    Credit,
    Defer,
    Fail,
    Fetch,
    Frame,
    Hello,
    Leave,
    Release,
    Renewal,
    Serve,
    Suspect,
    pack,
)
from tests.proxy.client import failure

HARMLESS = b'{"stage":"caption","outputs":{"captions":["a"]}}'
ID = 1_000_000  # higher than what a test has said before

# By name: how it is when nothing is wrong with it, about an entry that is held.
FRAMES: Mapping[str, Callable[[str], Frame]] = {
    "hello": lambda _: Hello("worker", "m1", "host", 1, "test"),
    "beat": lambda _: Beat("working", {"images": 1.0}),
    "counts": lambda _: CountsWanted(ID),
    "serve": lambda entry: Serve(ID, 1, ("caption",), (), (entry,)),
    "credit": lambda _: Credit(0, 1, 1000),
    "fetch": lambda entry: Fetch(ID, 0, (entry,)),
    "renew": lambda entry: Renewal(ID, 0, (entry,)),
    "complete": lambda entry: Complete(ID, 0, ((entry, (HARMLESS,)),)),
    "fail": lambda entry: Fail(ID, 0, ((entry, failure()),)),
    "defer": lambda entry: Defer(ID, 0, ((entry, failure(), 0.0),)),
    "suspect": lambda entry: Suspect(ID, 0, entry, failure("worker_died")),
    "release": lambda entry: Release(ID, 0, (entry,)),
    "leave": lambda _: Leave(ID, 0),
}

_TEXTS = st.sampled_from(
    ["", "../../etc/passwd", "a\0b", "~", "%2e%2e", "a\nb", "x" * 5000, "\u202eevil", "caption"]
)
_NUMBERS = st.sampled_from([-1, 0, 1, 2**31, 2**63 - 1, 2**64 - 1, 1e308, float("nan"), -0.5])
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXTS | st.text(max_size=20) | st.binary()
ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def mutated(kind: str, entry: str) -> st.SearchStrategy[bytes]:
    """Forge messages of a kind: with other values, with other bytes, or right."""
    right = pack(FRAMES[kind](entry))
    return st.just(right) | _other_values(right) | _other_bytes(right)


def message(fields: Any) -> bytes:
    """Make a message by hand, whatever is in it."""
    head = msgspec.msgpack.encode(fields)
    return len(head).to_bytes(4, "big") + head


@st.composite
def _other_values(draw: st.DrawFn, right: bytes) -> bytes:
    fields = msgspec.msgpack.decode(right[4:])
    for _ in range(draw(st.integers(1, 2))):
        _put(draw, fields, draw(st.integers(0, len(fields) - 1)))
    return message(fields)


def _put(draw: st.DrawFn, within: list[Any], place: int) -> None:
    """Put something else in, or go deeper and do it there."""
    inner = within[place]
    if isinstance(inner, list) and inner and draw(st.booleans()):
        _put(draw, inner, draw(st.integers(0, len(inner) - 1)))
    elif isinstance(inner, bytes) and draw(st.booleans()):
        within[place] = _torn(draw, inner)
    else:
        within[place] = draw(ANYTHING)


@st.composite
def _other_bytes(draw: st.DrawFn, right: bytes) -> bytes:
    torn = _torn(draw, right[4:])
    return len(torn).to_bytes(4, "big") + torn if draw(st.booleans()) else _torn(draw, right)


def _torn(draw: st.DrawFn, whole: bytes) -> bytes:
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    return whole[:start] + draw(st.binary(max_size=8)) + whole[end:]
