"""Queue: one consumer of a group, over one stream or several.

Hands out each delivery once: new entries, what a dead consumer left, and, after every broken
connection, what was delivered to us in an answer that we never saw.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from caption_flow.codec.records import Fields
from caption_flow.errors import QueueUnreachable
from caption_flow.model import EntryId
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, answers, translated, translation
from caption_flow.queue.connect import BLOCK_MS, Connections
from caption_flow.queue.scripts import Scripts

RECLAIM_SECONDS = 0.5  # between two looks for leases that ran out
RECLAIM_COUNT = 100  # entries a look may examine ten times of
HISTORY_COUNT = 1000  # own pending entries read at a time
FORGET_MS = 600_000  # a consumer that holds nothing is forgotten when idle for this long
# Idle time given to what is handed back: past any lease, yet a time after 1970, which XCLAIM asks.
RETURNED_MS = 86_400_000


class Delivery(Struct, frozen=True):
    """An entry that is ours until its lease ends."""

    stream: str
    entry: EntryId
    fields: Fields
    attempt: int  # 1 on the first delivery


class Consumer:
    """One consumer of a group; streams are asked in the given order."""

    def __init__(
        self,
        connections: Connections,
        scripts: Scripts,
        streams: Sequence[str],
        *,
        group: str,
        name: str,
        lease_seconds: float,
    ) -> None:
        # Any: redis-py types its answers by every protocol it speaks; ours are bytes, by connect.
        self._commands: Any = connections.commands
        self._blocking: Any = connections.blocking
        self._scripts = scripts
        self._streams = tuple(streams)
        self._group = group
        self._name = name
        self._lease_ms = int(lease_seconds * 1000)
        self._held: dict[str, set[EntryId]] = {stream: set() for stream in streams}
        self._cursors = dict.fromkeys(streams, "0-0")
        self._next_reclaim = 0.0
        self._grouped = False
        self._unseen = True  # there may be deliveries to us in an answer we never saw

    async def take(self, count: int) -> list[Delivery]:
        """Lease up to `count` entries; empty when none came for BLOCK_MS."""
        if not self._grouped:
            await self._make_groups()
        try:
            return await self._take(count)
        except GroupGone:
            self._grouped = False
            return []
        except QueueUnreachable:
            self._unseen = True
            raise

    async def renew(self, stream: str, entries: Sequence[EntryId]) -> set[EntryId]:
        """Begin leases anew; answers the lost ones, which are no longer ours to settle."""
        if not entries:
            return set()
        try:
            answer = await self._scripts.run("renew", [stream], [self._group, self._name, *entries])
        except GroupGone:
            answer = [entry.encode() for entry in entries]
        lost = {entry.decode() for entry in answer}
        self.forget(stream, lost)
        return lost

    async def release(self, stream: str, entries: Sequence[EntryId], *, attempted: bool) -> None:
        """Hand entries back, for anybody to take at once."""
        if not entries:
            return
        head = [self._group, self._name, keys.RETURNED, RETURNED_MS, "1" if attempted else "0"]
        await self._scripts.run("release", [stream], [*head, *entries])
        self.forget(stream, entries)

    def forget(self, stream: str, entries: Iterable[EntryId]) -> None:
        """Note that entries are settled."""
        self._held[stream].difference_update(entries)

    async def leave(self) -> None:
        """Take our name off the groups where we hold nothing."""
        for stream in self._streams:
            await self._scripts.run("leave", [stream], [self._group, self._name])

    async def _take(self, count: int) -> list[Delivery]:
        if self._unseen:
            unseen = [d for stream in self._streams for d in await self._history(stream)]
            self._unseen = False
            if unseen:
                return unseen
        taken = await self._reclaim(count)
        if len(taken) < count:
            taken += await self._read(count - len(taken), block=not taken)
        return taken

    async def _read(self, count: int, *, block: bool) -> list[Delivery]:
        if len(self._streams) == 1:
            return await self._read_new(self._streams, count, block=block)
        taken: list[Delivery] = []
        for stream in self._streams:
            if len(taken) < count:
                taken += await self._read_new([stream], count - len(taken), block=False)
        if not taken and block:
            # COUNT holds for each stream, so ask each for its share only.
            share = max(1, count // len(self._streams))
            taken = await self._read_new(self._streams, share, block=True)
        return taken

    async def _read_new(self, streams: Sequence[str], count: int, *, block: bool) -> list[Delivery]:
        client = self._blocking if block else self._commands
        with translated():
            answer = await client.xreadgroup(
                self._group,
                self._name,
                dict.fromkeys(streams, ">"),
                count=count,
                block=BLOCK_MS if block else None,
            )
        taken = [
            Delivery(stream.decode(), entry.decode(), fields, 1)
            for stream, entries in answer or ()
            for entry, fields in entries
        ]
        return self._hold(taken)

    async def _history(self, stream: str) -> list[Delivery]:
        """Read our own pending entries, but for those in hand."""
        found: list[tuple[EntryId, Fields]] = []
        after = "0"
        while True:
            with translated():
                answer = await self._commands.xreadgroup(
                    self._group, self._name, {stream: after}, count=HISTORY_COUNT
                )
            entries = answer[0][1] if answer else []
            found += [(entry.decode(), fields) for entry, fields in entries if fields]
            if len(entries) < HISTORY_COUNT:
                break
            after = entries[-1][0].decode()
        return await self._numbered(stream, found)

    async def _reclaim(self, count: int) -> list[Delivery]:
        """Take over what nobody renews, following the cursor so that no lease hides others."""
        now = time.monotonic()
        if now < self._next_reclaim:
            return []
        self._next_reclaim = now + RECLAIM_SECONDS
        taken: list[Delivery] = []
        for stream in self._streams:
            if len(taken) < count:
                taken += await self._reclaim_from(stream, min(count - len(taken), RECLAIM_COUNT))
        if taken:  # more may wait behind them
            self._next_reclaim = now
        return taken

    async def _reclaim_from(self, stream: str, count: int) -> list[Delivery]:
        with translated():
            answer = await self._commands.xautoclaim(
                stream, self._group, self._name, self._lease_ms, self._cursors[stream], count=count
            )
        self._cursors[stream] = answer[0].decode()
        found = [(entry.decode(), fields) for entry, fields in answer[1] if fields]
        return await self._numbered(stream, found)

    async def _numbered(
        self, stream: str, found: Sequence[tuple[EntryId, Fields]]
    ) -> list[Delivery]:
        """Make deliveries of entries, with their attempts, which XAUTOCLAIM does not tell."""
        if not found:
            return []
        pipe = self._commands.pipeline(transaction=False)
        for entry, _ in found:
            pipe.xpending_range(stream, self._group, entry, entry, 1, self._name)
        pending = await answers(pipe)
        return self._hold(
            Delivery(stream, entry, fields, rows[0]["times_delivered"])
            for (entry, fields), rows in zip(found, pending, strict=True)
            if rows
        )

    def _hold(self, taken: Iterable[Delivery]) -> list[Delivery]:
        new = []
        for delivery in taken:
            held = self._held[delivery.stream]
            if delivery.entry not in held:
                held.add(delivery.entry)
                new.append(delivery)
        return new

    async def _make_groups(self) -> None:
        """Make the groups where they are missing, from the first entry on, and tidy them."""
        pipe = self._commands.pipeline(transaction=False)
        for stream in self._streams:
            # From 0: a group made at $ misses what was there before.
            pipe.xgroup_create(stream, self._group, id="0", mkstream=True)
        with translated():
            made = await pipe.execute(raise_on_error=False)
        for answer in made:
            if isinstance(answer, Exception) and "BUSYGROUP" not in str(answer):
                raise translation(answer) or answer
        self._grouped = True
        for stream in self._streams:
            await self._forget_the_dead(stream)

    async def _forget_the_dead(self, stream: str) -> None:
        with translated():
            consumers = await self._commands.xinfo_consumers(stream, self._group)
        for consumer in consumers:
            if consumer["pending"] == 0 and consumer["idle"] > FORGET_MS:
                await self._scripts.run("leave", [stream], [self._group, consumer["name"]])
