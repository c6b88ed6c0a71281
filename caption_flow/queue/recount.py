"""Queue: what is kept of each shard, counted anew from what the streams and the parts hold.

Dead letters and parts may be any number, so they are read before, some at a time. A script then
counts the rest and what came since in one step, if nothing that was read is gone.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.codec import records
from caption_flow.queue.border import translated
from caption_flow.queue.consumer import readable
from caption_flow.queue.keys import LaneKeys, shard_to
from caption_flow.queue.pages import pages
from caption_flow.queue.scripts import Scripts
from caption_flow.queue.shards import MOST

logger = logging.getLogger(__name__)

_LOOKS = 3  # before it is left for another time, as while letters are tried again by thousands
_PARTS = 100  # whose records are read at a time


class _Record(Struct, frozen=True):
    """What counts here of what the queue keeps of a part."""

    shards: dict[str, int] = {}


_record = msgspec.json.Decoder(_Record)


class Recount:
    """Counts the shards of one lane; `streams` are those of its stages."""

    def __init__(
        self, client: Any, scripts: Scripts, lane: LaneKeys, streams: Sequence[str]
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._lane = lane
        self._streams = streams

    async def run(self) -> bool:
        """Mend what is kept; answers if it was wrong. Nothing is done where all keeps changing."""
        for _ in range(_LOOKS):
            answer = await self._look()
            if answer != b"moved":
                return answer == b"changed"
        logger.warning(
            "How far shards are was not counted anew: dead letters or parts are taken off all the "
            "time. Do it again once nobody does so"
        )
        return False

    async def _look(self) -> bytes:
        lane = self._lane
        with translated():
            epoch = await self._client.get(lane.epoch) or b""
        newest, taken_off, dead = await self._letters()
        parts, rows = await self._rows()
        told = list(await self._told(rows, dead))
        head = [newest, taken_off, epoch, len(told) // 3]
        places = [lane.shards, lane.shard_names, lane.cursors, lane.chunks]
        places += [lane.captions, lane.dead, lane.parts, lane.epoch, *self._streams]
        answer = await self._scripts.run("mend_shards", places, [*head, *told, *parts])
        return bytes(answer)

    async def _letters(self) -> tuple[bytes, int, Counter[str]]:
        """Count the samples of dead letters; answers the newest one and how many are gone, too."""
        counted: Counter[str] = Counter()
        with translated():
            if not await self._client.exists(self._lane.dead):
                return b"", 0, counted
            told = await self._client.xinfo_stream(self._lane.dead)
        newest: bytes = told["last-entry"][0] if told["last-entry"] else b""
        if newest:
            async for page in pages(self._client, self._lane.dead, newest=newest):
                found = readable(page, lambda d: records.sample_from(d.entry, d.fields).shard)
                counted.update(map(shard_to, found))
        return newest, int(told["entries-added"]) - int(told["length"]), counted

    async def _rows(self) -> tuple[set[bytes], Counter[str]]:
        """Count the rows that records tell; answers their parts, too."""
        parts: set[bytes] = set()
        counted: Counter[str] = Counter()
        with translated():
            async for part, record in self._client.hscan_iter(self._lane.parts, count=_PARTS):
                if part not in parts:  # a scan may give one twice
                    parts.add(part)
                    counted.update(_record.decode(record).shards)
        return parts, counted

    async def _told(self, rows: Counter[str], dead: Counter[str]) -> Iterator[str | int]:
        """Say of those that may be kept what was counted; those that are, come first."""
        with translated():
            kept = await self._client.zrange(self._lane.shard_names, 0, MOST - 1)
        names = dict.fromkeys([*(name.decode() for name in kept), *sorted(rows | dead)])
        return (what for name in list(names)[:MOST] for what in (name, rows[name], dead[name]))
