"""Proxy: what a session does for those who only look at a job, as monitors do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caption_flow.codec import records
from caption_flow.proxy.desk import End, Handler
from caption_flow.queue.inspect import RedisInspector
from caption_flow.wire.asking import (
    CaptionsWanted,
    ColumnsWanted,
    LettersWanted,
    Report,
    ShardsWanted,
    SnapshotWanted,
)
from caption_flow.wire.fields import Frame

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session


class AskDesk:
    """Desk, see proxy/desk.py. It holds nothing."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        job = session.common.job
        self._inspector = RedisInspector(job.connections, job.job)
        self.handlers: Mapping[type[Frame], Handler] = {
            SnapshotWanted: self._snapshot,
            LettersWanted: self._letters,
            CaptionsWanted: self._captions,
            ColumnsWanted: self._columns,
            ShardsWanted: self._shards,
        }

    def look(self) -> None:
        """Nothing that is told here depends on settings or orders."""

    async def close(self, end: End) -> None:
        """Nothing is held."""

    async def report(self, id_: int, told: Any) -> None:
        """Answer in JSON."""
        # Not in the way of answers: who asks again has to take in what was told before.
        await self._session.outbox.send(Report(id_), records.encode(told))

    async def _snapshot(self, wanted: SnapshotWanted, _payload: memoryview) -> None:
        await self.report(wanted.id, await self._inspector.snapshot())

    async def _captions(self, wanted: CaptionsWanted, _payload: memoryview) -> None:
        await self.report(wanted.id, await self._inspector.captions(wanted.count))

    async def _letters(self, wanted: LettersWanted, _payload: memoryview) -> None:
        await self.report(wanted.id, await self._inspector.dead_letters(wanted.count))

    async def _columns(self, wanted: ColumnsWanted, _payload: memoryview) -> None:
        await self.report(wanted.id, await self._inspector.columns(wanted.count))

    async def _shards(self, wanted: ShardsWanted, _payload: memoryview) -> None:
        after = wanted.after.decode("utf-8", "surrogatepass")
        await self.report(wanted.id, await self._inspector.shards(after, wanted.count))
