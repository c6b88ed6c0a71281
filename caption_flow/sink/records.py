"""Sink: what the queue keeps of a part."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

import msgspec
from msgspec import Struct

from caption_flow.model import Credit, Tally
from caption_flow.queue.keys import shard_to


class Record(Struct, frozen=True, omit_defaults=True):
    """What the queue keeps of a part."""

    rows: int = 0
    again: bool = False  # the queue had forgotten it, so its samples may come a second time
    tally: Tally = {}  # of its rows
    shards: dict[str, int] = {}  # rows of each shard, by its name as queue/keys.py writes it
    revision: str = ""  # the last time that it lost rows


def record(
    rows: int,
    tally: Tally,
    shards: Mapping[str, int] = {},
    *,
    again: bool = False,
    revision: str = "",
) -> bytes:
    """Write what the queue keeps of a part."""
    written = {shard_to(shard): count for shard, count in shards.items()}
    return msgspec.json.encode(Record(rows, again, tally, written, revision))


def read_record(value: bytes) -> Record:
    """Read what the queue keeps of a part."""
    return msgspec.json.decode(value, type=Record)


def likeness(value: bytes) -> Hashable:
    """Tell what records of parts must have in common for their sum to say what is so.

    Samples of a part that was forgotten may come again, and all of a merged one would. Of a part
    that an earlier version recorded nobody knows who made it, and of what.
    """
    one = read_record(value)
    return one.again, not one.tally and one.rows > 0, not one.shards and one.rows > 0


def summed(records: Iterable[Record]) -> bytes:
    """Write what the queue keeps of a part that has all their rows."""
    rows, again = 0, False
    tally: Tally = {}
    shards: Counter[str] = Counter()
    for one in records:
        rows, again = rows + one.rows, again or one.again
        for name, credit in one.tally.items():
            tally[name] = tally.get(name, Credit()) + credit
        shards.update(one.shards)
    return msgspec.json.encode(Record(rows, again, tally, dict(shards)))
