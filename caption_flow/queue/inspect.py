"""Queue: Inspector on Redis. It reads lengths and books, never entries, so it costs little."""

import time
from typing import Any

import msgspec

from caption_flow.codec import records
from caption_flow.model import DeadLetter
from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.job import GONE_SECONDS, RedisJob
from caption_flow.queue.ports import Member, Snapshot

_member = msgspec.json.Decoder(Member)


class RedisInspector(RedisJob):
    """Inspector, see ports."""

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        counts = await self.counts()
        streams = await self._streams()
        waiting, held = {}, {}
        for name, (stream, group) in streams.items():
            held[name] = await self._held(stream, group)
            with translated():
                length = await self.client.xlen(stream)
            # Exact, since what is acked is deleted; `lag` is nil after out-of-order deletes.
            waiting[name] = max(0, length - held[name])
        return Snapshot(counts, await self._members(), waiting, held)

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        with translated():
            entries = await self.client.xrevrange(self.lane.dead, count=count)
        return [records.dead_letter_from(entry.decode(), fields) for entry, fields in entries]

    async def _streams(self) -> dict[str, tuple[str, str]]:
        streams = {
            "chunks": (self.lane.chunks, keys.FEEDERS),
            "captions": (self.lane.captions, keys.SINKS),
        }
        settings = await self.settings()
        if settings is not None:
            for stage in msgspec.json.decode(settings.document).get("stages", []):
                name = stage["name"]
                streams[f"samples:{name}"] = (self.lane.samples(name), keys.WORKERS)
        return streams

    async def _held(self, stream: str, group: str) -> int:
        with translated():
            exists = await self.client.exists(stream)
            groups: list[dict[str, Any]] = await self.client.xinfo_groups(stream) if exists else []
        return next((g["pending"] for g in groups if g["name"] == group.encode()), 0)

    async def _members(self) -> tuple[Member, ...]:
        with translated():
            words = await self.client.hvals(self.keys.members)
        members = [_member.decode(word) for word in words]
        return tuple(m for m in members if time.time() - m.seen < GONE_SECONDS)
