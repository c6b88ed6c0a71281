"""Codec: the nouns of the model as stream fields, and back.

JSON, so that `redis-cli XRANGE` can be read by a person. A sample's entry has the fields
`sample` (JSON), `bytes` (of memory, with its image; see weight), `image` (entry of its pixels; an
entry of an earlier version has none in the first stage, and its own id names them) and one
`out:STAGE` (JSON) per stage it has passed. A dead letter adds `why` (JSON) and, where there were
earlier attempts, `earlier` (a JSON list).
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from caption_flow.errors import CaptionFlowError
from caption_flow.model import (
    Caption,
    Chunk,
    DeadLetter,
    EntryId,
    Failure,
    Lease,
    Outcome,
    Sample,
    came_true,
)

Fields = Mapping[bytes, bytes]

OUTCOME_PREFIX = b"out:"

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_sample = msgspec.json.Decoder(Sample)
_chunk = msgspec.json.Decoder(Chunk)
_failure = msgspec.json.Decoder(Failure)
_failures = msgspec.json.Decoder(tuple[Failure, ...])
_outcome = msgspec.json.Decoder(Outcome)

_UNREADABLE = (KeyError, ValueError, RecursionError)  # ValueError: malformed, or not UTF-8


class UnreadableRecord(CaptionFlowError):
    """A stream entry that this version cannot read; it was not written by caption-flow."""


def encode(record: Any) -> bytes:
    """Write a noun as JSON."""
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError:
        # A name that is not UTF-8 has lone surrogates in Python; JSON can only escape them.
        return json.dumps(msgspec.to_builtins(record), separators=(",", ":")).encode()


def decode(record: bytes, kind: type[T]) -> T:
    """Read what `encode` wrote; raises what msgspec does."""
    return _decode(msgspec.json.Decoder(kind), record)


def chunk_from(entry: EntryId, fields: Fields) -> Chunk:
    """Read a chunk descriptor."""
    try:
        return _decode(_chunk, fields[b"chunk"])
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"Entry {entry} holds no readable chunk: {exc}") from exc


def lease_from(
    entry: EntryId, stage: str, fields: Fields, attempt: int, failures: bytes = b""
) -> Lease:
    """Read a claimed sample; `failures` are JSON objects with commas between them."""
    return Lease(
        entry=entry,
        stage=stage,
        sample=sample_from(entry, fields),
        image=fields.get(b"image", entry.encode()).decode("ascii", "replace"),
        attempt=attempt,
        outcomes=_outcomes_from(entry, fields),
        failures=came_true(failures_from(b"[%b]" % failures), attempt),
    )


def caption_from(entry: EntryId, fields: Fields) -> Caption:
    """Read a finished sample, with what a worker found out about its image."""
    sample, outcomes = sample_from(entry, fields), _outcomes_from(entry, fields)
    pictures = [outcome.picture for outcome in outcomes if outcome.picture is not UNSET]
    return Caption(entry, sample.showing(pictures[0]) if pictures else sample, outcomes)


def dead_letter_from(entry: EntryId, fields: Fields) -> DeadLetter:
    """Read a sample that was given up."""
    try:
        failure = _decode(_failure, fields[b"why"])
        noted = failures_from(fields.get(b"earlier", b"[]"))
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"Dead letter {entry} gives no readable reason: {exc}") from exc
    sample, outcomes = sample_from(entry, fields), _outcomes_from(entry, fields)
    earlier = came_true(noted, failure.attempt)
    return DeadLetter(entry, sample, failure, earlier, outcomes)


def failures_from(listed: bytes) -> tuple[Failure, ...]:
    """Read the reasons of earlier attempts, a JSON list."""
    return _decode(_failures, listed)


def sample_from(entry: EntryId, fields: Fields) -> Sample:
    """Read the sample of an entry, wherever that is."""
    try:
        return _decode(_sample, fields[b"sample"])
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"Entry {entry} holds no readable sample: {exc}") from exc


def _outcomes_from(entry: EntryId, fields: Fields) -> tuple[Outcome, ...]:
    try:
        return tuple(
            _decode(_outcome, value)
            for name, value in fields.items()
            if name.startswith(OUTCOME_PREFIX)
        )
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"Entry {entry} holds an unreadable outcome: {exc}") from exc


def _decode(decoder: msgspec.json.Decoder[T], record: bytes) -> T:
    try:
        return decoder.decode(record)
    except msgspec.DecodeError:
        if b"\\ud" not in record:
            raise
        return msgspec.convert(json.loads(record), decoder.type)  # see `encode`
