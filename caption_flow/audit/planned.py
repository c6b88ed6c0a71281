"""Audit: what the source names, up to where it is planned."""

from collections.abc import Iterator
from itertools import islice, takewhile

from msgspec import Struct

from caption_flow.dataset.source import Source, sample_id
from caption_flow.feed.position import Position
from caption_flow.feed.selection import EVERYTHING

_NAMES = 10_000  # given at once


class Run(Struct, frozen=True):
    """Samples of one shard that follow one another."""

    dataset: str
    shard: str
    place: int  # of the first within its shard
    names: tuple[str, ...]
    wanted: tuple[bool, ...]  # of each, whether the plan takes it


def planned(source: Source, position: Position | None) -> Iterator[Run]:
    """Walk the source up to a position; all of it where none is known."""
    selection = position.selection if position else EVERYTHING
    selected = 0
    for shard, end in _shards(source, position):
        if not selection.admits_shard(shard):
            continue
        listed = source.names(shard, None)
        names = _before(end, (one.name for one in listed))
        place = 0
        while some := tuple(islice(names, _NAMES)):
            ids = [sample_id(shard, name) for name in some]
            wanted = tuple(selection.drawn(ids, selected))
            yield Run(source.dataset, shard, place, some, wanted)
            place += len(some)
            selected += sum(wanted)
            if selection.left(selected) == 0:
                return


def _before(end: str | None, names: Iterator[str]) -> Iterator[str]:
    return takewhile(lambda name: name != end, names)


def _shards(source: Source, position: Position | None) -> Iterator[tuple[str, str | None]]:
    """Give the shards that are planned, each with the first name that is not; None: all are."""
    if position is None or position.done:
        yield from ((shard, None) for shard in source.shards())
    elif position.shard and not position.fresh_only:  # then what is left is planned after it
        # What was planned last may be gone; what comes after it is where to stop.
        border = next(source.shards(position.shard), None)
        for shard in source.shards():
            if shard != border:
                yield shard, None
                continue
            if shard == position.shard:
                following = next(source.names(shard, position.last), None)
                yield shard, following.name if following else None
            return
