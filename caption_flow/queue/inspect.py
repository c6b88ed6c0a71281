"""Queue: Inspector on Redis. It reads lengths and books, never entries, so it costs little."""

from typing import Any

import msgspec

from caption_flow.codec import records
from caption_flow.model import DeadLetter, Sample
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, translated
from caption_flow.queue.consumer import Delivery, readable
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.job import is_gone
from caption_flow.queue.ports import Member, Settings, Snapshot
from caption_flow.queue.ports.contributors import leaderboard


class RedisInspector(RedisContributors):
    """Inspector, see ports."""

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        counts, settings = await self.counts(), await self.settings()
        streams = await self._streams(settings)
        waiting, held = {}, {}
        for name, (stream, group) in streams.items():
            held[name] = await self._held(stream, group)
            with translated():
                length = await self.client.xlen(stream)
            # Exact, since what is acked is deleted; `lag` is nil after out-of-order deletes.
            waiting[name] = max(0, length - held[name])
        return Snapshot(
            counts,
            await self._members(),
            waiting,
            held,
            settings_version=settings.version if settings else 0,
            leaderboard=tuple(leaderboard(await self.contributors())),
            paused=(await self.standing_orders()).paused is not None,
        )

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        with translated():
            entries = await self.client.xrevrange(self.lane.dead, count=count)
        letters = [Delivery(self.lane.dead, e.decode(), fields, 0) for e, fields in entries]
        return readable(letters, lambda d: records.dead_letter_from(d.entry, d.fields))

    async def columns(self, count: int) -> list[str] | None:
        """Name the columns of so many samples that are in a stage; None where none is."""
        found: list[Sample] = []
        for stream in await self.sample_streams([]):
            if len(found) < count:
                with translated():
                    entries = await self.client.xrange(stream, count=count - len(found))
                samples = [Delivery(stream, e.decode(), fields, 0) for e, fields in entries]
                found += readable(samples, lambda d: records.sample_from(d.entry, d.fields))
        named = dict.fromkeys(name for sample in found for name in sample.columns)
        return list(named) if found else None

    async def _streams(self, settings: Settings | None) -> dict[str, tuple[str, str]]:
        streams = {
            "chunks": (self.lane.chunks, keys.FEEDERS),
            "captions": (self.lane.captions, keys.SINKS),
        }
        if settings is not None:
            told = msgspec.json.decode(settings.document).get("stages", [])
            stages = [stage["name"] for stage in told]
            for name in (*stages, *await self.former_stages(stages)):
                streams[f"samples:{name}"] = (self.lane.samples(name), keys.WORKERS)
        return streams

    async def _held(self, stream: str, group: str) -> int:
        try:
            with translated():
                pending: dict[str, Any] = await self.client.xpending(stream, group)
        except GroupGone:  # or not made yet
            return 0
        # What was handed back is under a name that is nobody's.
        holders = {c["name"]: c["pending"] for c in pending["consumers"]}
        return int(pending["pending"]) - int(holders.get(keys.RETURNED.encode(), 0))

    async def _members(self) -> tuple[Member, ...]:
        return tuple(m for m in (await self.members()).values() if not is_gone(m))
