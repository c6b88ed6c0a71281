"""Queue: how far each shard of a job is, as the scripts keep it that plan, give up and commit.

A reader asks for some shards by name, or for all a page at a time; what is kept is never scanned.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from caption_flow.codec.records import Fields, UnreadableRecord, sample_from
from caption_flow.model import EntryId
from caption_flow.queue.border import answers, translated
from caption_flow.queue.keys import LaneKeys, shard_from, shard_to
from caption_flow.queue.ports import Member, Shard

AT_WORK = 20  # shards that are told of at once
MOST = 20_000  # shards that are kept of a lane, as in lua/shard.lua

_COUNTERS = ("planned", "captioned", "dead")


class Shards:
    """What is kept of the shards of one lane."""

    def __init__(self, client: Any, lane: LaneKeys) -> None:
        self._client = client
        self._lane = lane

    async def named(self, names: Iterable[str]) -> list[Shard]:
        """Read these shards, as far as they are known, in this order."""
        found = await self._read([shard_to(name) for name in names])
        return [shard for shard in found if shard.planned]

    async def at_work(self, streams: Sequence[str], members: Iterable[Member]) -> list[Shard]:
        """Read some that are fed or captioned now: where feeders are, and at the streams' ends."""
        fed = [
            shard
            for member in members
            if member.role == "feed"
            for shard in member.facts.get("shards", "").split(", ")
        ]
        names = dict.fromkeys(filter(None, [*await self._at_the_ends(streams), *fed]))
        return await self.named(islice(names, AT_WORK))

    async def _at_the_ends(self, streams: Sequence[str]) -> list[str]:
        """Name the shards of the oldest and the newest sample of each stream."""
        pipe = self._client.pipeline(transaction=False)
        for stream in streams:
            pipe.xrange(stream, count=1)
            pipe.xrevrange(stream, count=1)
        entries = [entry for found in await answers(pipe) for entry in found]
        return [_shard_of(entry.decode(), fields) for entry, fields in entries]

    async def page(self, after: str, count: int) -> list[Shard]:
        """Read so many shards that come after one, by name; "": from the first on."""
        least = b"(" + shard_to(after).encode() if after else b"-"
        with translated():
            written = await self._client.zrangebylex(
                self._lane.shard_names, least, b"+", start=0, num=count
            )
        return await self._read([name.decode() for name in written])

    async def _read(self, written: Sequence[str]) -> list[Shard]:
        if not written:
            return []
        fields = [f"{name}:{counter}" for name in written for counter in _COUNTERS]
        with translated():
            values = await self._client.hmget(self._lane.shards, fields)
        numbers = iter([int(value or 0) for value in values])
        triples = zip(numbers, numbers, numbers, strict=True)
        return [_shard(name, *three) for name, three in zip(written, triples, strict=True)]


def _shard_of(entry: EntryId, fields: Fields) -> str:
    try:
        return sample_from(entry, fields).shard
    except UnreadableRecord:  # not ours
        return ""


def _shard(written: str, planned: int, captioned: int, dead: int) -> Shard:
    # What an earlier version planned or gave up is not counted; what became of it since, may be.
    captioned, dead = max(0, captioned), max(0, dead)
    return Shard(shard_from(written), max(planned, captioned + dead), captioned, dead)
