"""Queue: what a contributor hears of a sample's past, but not who had it before.

Who made the earlier captions, and on whose host what failed, is known to the job's operator.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.codec.records import UnreadableRecord
from caption_flow.model import Failure, Outcome

_outcome = msgspec.json.Decoder(Outcome)
_UNREADABLE = (ValueError, RecursionError)


def outcomes(made: Sequence[bytes]) -> tuple[bytes, ...]:
    """Leave out who made them; raises UnreadableRecord."""
    return tuple(map(_nobodys, made))


def failures(listed: bytes, contributor: str) -> bytes:
    """Leave out whose they were, and of others what they said; raises UnreadableRecord.

    `listed`: JSON objects with commas between them.
    """
    if not listed:
        return b""
    try:
        told = records.failures_from(b"[%b]" % listed)
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"Why a sample failed before cannot be read: {exc}") from exc
    return b",".join(records.encode(_veiled(failure, contributor)) for failure in told)


def _nobodys(record: bytes) -> bytes:
    try:
        made = _outcome.decode(record)
    except _UNREADABLE as exc:
        raise UnreadableRecord(f"What a stage made cannot be read: {exc}") from exc
    return records.encode(replace(made, worker="", contributor=""))


def _veiled(failure: Failure, contributor: str) -> Failure:
    if failure.contributor == contributor:
        return failure
    # Details name hosts and addresses of whoever failed.
    return replace(failure, member="", contributor="", detail="")
