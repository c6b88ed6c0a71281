"""Codec: the nouns of the model as stream fields, and back.

JSON, so that `redis-cli XRANGE` can be read by a person. A sample's entry has the fields
`sample` (JSON), `bytes` (length of its image), `image` (entry of its pixels; absent in the first
stage, where the entry's own id names them) and one `out:STAGE` (JSON) per stage it has passed.
"""

from collections.abc import Mapping

import msgspec

from caption_flow.errors import CaptionFlowError
from caption_flow.model import Caption, Chunk, DeadLetter, EntryId, Failure, Lease, Outcome, Sample

Fields = Mapping[bytes, bytes]

OUTCOME_PREFIX = b"out:"

_encoder = msgspec.json.Encoder()
_sample = msgspec.json.Decoder(Sample)
_chunk = msgspec.json.Decoder(Chunk)
_failure = msgspec.json.Decoder(Failure)
_outcome = msgspec.json.Decoder(Outcome)

encode = _encoder.encode


class UnreadableRecord(CaptionFlowError):
    """A stream entry that this version cannot read; it was not written by caption-flow."""


def chunk_from(fields: Fields) -> Chunk:
    """Read a chunk descriptor."""
    try:
        return _chunk.decode(fields[b"chunk"])
    except (KeyError, msgspec.DecodeError) as exc:
        raise UnreadableRecord(f"A chunk descriptor cannot be read: {exc}") from exc


def lease_from(entry: EntryId, stage: str, fields: Fields, attempt: int) -> Lease:
    """Read a claimed sample."""
    return Lease(
        entry=entry,
        stage=stage,
        sample=_sample_from(entry, fields),
        image=fields[b"image"].decode() if b"image" in fields else entry,
        attempt=attempt,
        outcomes=_outcomes_from(entry, fields),
    )


def caption_from(entry: EntryId, fields: Fields) -> Caption:
    """Read a finished sample."""
    return Caption(entry, _sample_from(entry, fields), _outcomes_from(entry, fields))


def dead_letter_from(entry: EntryId, fields: Fields) -> DeadLetter:
    """Read a sample that was given up."""
    try:
        failure = _failure.decode(fields[b"why"])
    except (KeyError, msgspec.DecodeError) as exc:
        raise UnreadableRecord(f"Dead letter {entry} gives no readable reason: {exc}") from exc
    return DeadLetter(entry, _sample_from(entry, fields), failure)


def _sample_from(entry: EntryId, fields: Fields) -> Sample:
    try:
        return _sample.decode(fields[b"sample"])
    except (KeyError, msgspec.DecodeError) as exc:
        raise UnreadableRecord(f"Entry {entry} holds no readable sample: {exc}") from exc


def _outcomes_from(entry: EntryId, fields: Fields) -> tuple[Outcome, ...]:
    try:
        return tuple(
            _outcome.decode(value)
            for name, value in fields.items()
            if name.startswith(OUTCOME_PREFIX)
        )
    except msgspec.DecodeError as exc:
        raise UnreadableRecord(f"Entry {entry} holds an unreadable outcome: {exc}") from exc
