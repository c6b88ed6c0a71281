"""Queue: one consumer of a group, over one stream or several.

Hands out each delivery once: new entries, what a dead consumer left, and, after every broken
connection, what was delivered to us in an answer that we never saw.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from msgspec import Struct

from caption_flow.codec.records import Fields, UnreadableRecord
from caption_flow.errors import QueueFull, QueueUnreachable
from caption_flow.keeper import Renew
from caption_flow.model import EntryId
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, answers, translated
from caption_flow.queue.connect import BLOCK_MS, Connections
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.renewals import Place, renewed, renewing
from caption_flow.queue.scripts import Scripts

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Between two looks for leases that ran out: less than BLOCK_MS, so that a look follows each wait.
RECLAIM_SECONDS = 0.25
HISTORY_COUNT = 1000  # own pending entries read at a time
FORGET_MS = 600_000  # a consumer that holds nothing is forgotten when idle for this long
LEAVE_SECONDS = 2.0  # for a courtesy; whoever must end may be in a hurry
# Idle time given to what is handed back: past any lease, yet a time after 1970, which XCLAIM asks.
RETURNED_MS = 86_400_000


class Delivery(Struct, frozen=True):
    """An entry that is ours until its lease ends."""

    stream: str
    entry: EntryId
    fields: Fields
    attempt: int  # 1 on the first delivery
    handed_on: bool = True  # somebody may have held it before


def readable(deliveries: Iterable[Delivery], read: Callable[[Delivery], T]) -> list[T]:
    """Read deliveries but for what is not ours to read: it stays where it is, and is named."""
    found = []
    for delivery in deliveries:
        try:
            found.append(read(delivery))
        except UnreadableRecord as exc:
            logger.warning("Passing over an entry of %s. %s", delivery.stream, exc)
    return found


class Consumer:
    """One consumer of a group, for one caller at a time; streams are asked in the given order."""

    def __init__(
        self,
        connections: Connections,
        scripts: Scripts,
        streams: Sequence[str],
        *,
        group: str,
        name: str,
        lease_seconds: float,
        reclaims: Reclaims | None = None,
        renews: bool = True,
    ) -> None:
        """`reclaims`: shared with others, where there are many in one process.

        `renews`: what is in hand is renewed here, for as long as it is. Else somebody far away
        does; what it lets run out is given once more, since it may never have had it, and that
        is a delivery.
        """
        # Any: redis-py types its answers by every protocol it speaks; ours are bytes, by connect.
        self._connections = connections
        self._commands: Any = connections.commands
        self._blocking: Any = connections.blocking
        self._scripts = scripts
        self._streams = tuple(streams)
        self._group = group
        self._name = name
        self._lease_ms = int(lease_seconds * 1000)
        self._held: dict[str, set[EntryId]] = defaultdict(set)
        self._reclaims = reclaims or Reclaims(grace=lease_seconds / 2)
        self._renews = renews
        self._grouped = False
        self._unseen = True  # there may be deliveries to us in an answer we never saw
        self._returned = False  # a take may have passed over what we were handing back

    def follow(self, streams: Sequence[str]) -> None:
        """Take from these streams from now on; what is held of others stays ours."""
        self._streams = tuple(streams)
        self._grouped = False

    async def take(self, count: int, *, wait: bool = True) -> list[Delivery]:
        """Lease up to `count` entries; empty when none came for BLOCK_MS, or none is there."""
        # Until what comes now is in the caller's hands, any of it may be lost on the way.
        unseen, self._unseen = self._unseen or self._returned, True
        self._returned = False
        try:
            if not self._grouped:
                await self._make_groups()
            taken = await self._delivered(count + 1) if unseen else []
            taken = taken or await self._take(count, wait=wait)
        except GroupGone:
            self._lose_groups()
            return []
        except QueueUnreachable:
            self._reclaims.let_others_renew()
            raise
        given = taken[:count]
        for delivery in given:
            self._held[delivery.stream].add(delivery.entry)
        self._unseen = len(taken) > count  # the next take finds the rest
        return given

    def again(self, delivery: Delivery) -> None:
        """Let the next take give a delivery once more: the caller could not use it yet."""
        self.forget(delivery.stream, [delivery.entry])
        self._unseen = True

    async def settle(self, script: str, at: list[str], arguments: list[Any]) -> Any:
        """Run a script on what we hold; None where the group is gone, and all leases with it."""
        try:
            return await self._scripts.run(script, at, arguments)
        except GroupGone:
            self._lose_groups()
            return None

    async def settle_after(
        self, commands: Iterable[tuple[Any, ...]], script: str, at: list[str], arguments: list[Any]
    ) -> Any:
        """Run a script on what we hold as `settle` does, in one step with commands before it."""
        try:
            return await self._scripts.run_after(commands, script, at, arguments)
        except GroupGone:
            self._lose_groups()
            return None

    async def adopt(self, stream: str, former: str) -> dict[EntryId, int]:
        """Make what another consumer of ours holds our own; answers it with its deliveries.

        What is not recalled is given by the next takes.
        """
        answer = await self.settle("adopt", [stream], [self._group, former, self._name])
        self._unseen = True
        self._held.setdefault(stream, set())  # so that it is among our streams when we leave
        return {entry.decode(): deliveries for entry, deliveries in answer or ()}

    async def recall(self, stream: str, attempts: Mapping[EntryId, int]) -> list[Delivery]:
        """Read once more what our caller has in hand."""
        found = await self._fetched(stream, attempts)
        self._held[stream].update(delivery.entry for delivery in found)
        return found

    def renewals(self, place_of: Callable[[T], Place]) -> AbstractAsyncContextManager[Renew[T]]:
        """Open a way to renew our leases; what is lost is in hand until forgotten."""
        return renewing(
            self._connections,
            group=self._group,
            name=self._name,
            place_of=place_of,
            # From the thread that renews: with full hands we make no other call in an outage.
            unreached=self._reclaims.let_others_renew,
        )

    async def release(self, stream: str, entries: Sequence[EntryId]) -> None:
        """Hand entries back, for anybody to take at once."""
        if not entries:
            return
        head = [self._group, self._name, keys.RETURNED, RETURNED_MS]
        await self.settle("release", [stream], [*head, *entries])
        self.let_go(stream, entries)

    def let_go(self, stream: str, entries: Iterable[EntryId]) -> None:
        """Note that entries were handed back."""
        self.forget(stream, entries)
        # A take beside us may have reclaimed them before we knew that they were gone, and passed
        # over them as in hand: they are ours again, and only a look at our own leases finds them.
        self._returned = True

    def forget(self, stream: str, entries: Iterable[EntryId]) -> None:
        """Note that entries are settled."""
        self._held[stream].difference_update(entries)

    async def abandon(self, *, attempted: bool) -> None:
        """Hand back all that is under our name, and take that off the groups.

        `attempted`: nobody knows what became of it, so that the deliveries count.
        """
        counted = "0" if attempted else "1"
        head = [self._group, self._name, keys.RETURNED, RETURNED_MS, counted]
        for stream in {*self._streams, *self._held}:
            await self.settle("abandon", [stream], head)
            self._held[stream].clear()

    async def leave(self) -> None:
        """Take our name off the groups where we hold nothing; a courtesy, if Redis is there."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                for stream in {*self._streams, *self._held}:
                    await self.settle("leave", [stream], [self._group, self._name])
        except (QueueUnreachable, QueueFull, TimeoutError) as exc:
            logger.debug("Left without a word: %s", exc)

    async def _take(self, count: int, *, wait: bool) -> list[Delivery]:
        taken = await self._reclaim(count)
        if len(taken) < count:
            taken += await self._read(count - len(taken), block=wait and not taken)
        return taken

    async def _read(self, count: int, *, block: bool) -> list[Delivery]:
        if len(self._streams) == 1:
            return await self._read_new(self._streams, count, block=block)
        taken: list[Delivery] = []
        for stream in self._streams:
            if len(taken) < count:
                taken += await self._read_new([stream], count - len(taken), block=False)
        if not taken and block:
            # COUNT holds for each stream, so ask each for its share only. Where there are more
            # streams than shares, what comes too much waits for the next take.
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
        return [
            Delivery(stream.decode(), entry.decode(), fields, 1, handed_on=False)
            for stream, entries in answer or ()
            for entry, fields in entries
            if entry.decode() not in self._held[stream.decode()]  # where the group was made anew
        ]

    async def _delivered(self, count: int) -> list[Delivery]:
        """Find what was delivered to us, but is not in hand."""
        found: list[Delivery] = []
        for stream in self._streams:
            if len(found) < count:
                found += await self._delivered_from(stream, count - len(found))
        return found

    async def _delivered_from(self, stream: str, count: int) -> list[Delivery]:
        """Look with XPENDING: XREADGROUP would count one more delivery of all we hold."""
        # A copy: what is settled while we look is not unseen.
        in_hand = frozenset(self._held[stream])
        found: dict[EntryId, int] = {}
        after = "-"
        while len(found) < count:
            with translated():
                rows = await self._commands.xpending_range(
                    stream, self._group, after, "+", HISTORY_COUNT, self._name
                )
            pending = {row["message_id"].decode(): row["times_delivered"] for row in rows}
            found |= {entry: n for entry, n in pending.items() if entry not in in_hand}
            if len(rows) < HISTORY_COUNT:
                break
            after = "(" + rows[-1]["message_id"].decode()
        return await self._fetched(stream, dict(list(found.items())[:count]))

    async def _fetched(self, stream: str, attempts: Mapping[EntryId, int]) -> list[Delivery]:
        """Make deliveries of those entries that are still ours, with their whole lease."""
        lost = await renewed(self._scripts, stream, self._group, self._name, list(attempts))
        kept = [entry for entry in attempts if entry not in lost]
        pipe = self._commands.pipeline(transaction=False)
        for entry in kept:
            pipe.xrange(stream, entry, entry)
        entries = await answers(pipe) if kept else []
        return [
            Delivery(stream, entry, rows[0][1], attempts[entry])
            for entry, rows in zip(kept, entries, strict=True)
            if rows
        ]

    async def _reclaim(self, count: int) -> list[Delivery]:
        """Take over what nobody renews, following the cursor so that nothing hides the rest."""
        taken: list[Delivery] = []
        for stream in self._streams:
            if len(taken) < count and self._reclaims.due(stream, RECLAIM_SECONDS):
                taken += await self._reclaim_from(stream, count - len(taken))
        return taken

    async def _reclaim_from(self, stream: str, count: int) -> list[Delivery]:
        cursors = self._reclaims.cursors
        head = [self._group, self._name, self._lease_ms, cursors[stream]]
        arguments = [*head, count, "1" if self._renews else "0"]
        cursor, taken = await self._scripts.run("reclaim", [stream], arguments)
        cursors[stream] = cursor.decode()
        # Our own leases that ran out are in hand still: this was as good as a renewal, and counted
        # no more than one.
        held = self._held[stream] if self._renews else frozenset[EntryId]()
        found = [
            Delivery(stream, entry.decode(), _pairs(fields), attempts)
            for entry, fields, attempts in taken
            if entry.decode() not in held
        ]
        if found:
            self._reclaims.look_on(stream)
        return found

    async def _make_groups(self) -> None:
        """Make the groups where they are missing, and tidy them."""
        there = self._reclaims.grouped
        for stream in self._streams:
            if stream not in there:
                await self._scripts.run("group", [stream], [self._group])
                await self._forget_the_dead(stream)
                there.add(stream)
        self._grouped = True

    def _lose_groups(self) -> None:
        """Note that a group is gone, and perhaps all of them."""
        self._grouped = False
        self._reclaims.grouped.clear()

    async def _forget_the_dead(self, stream: str) -> None:
        with translated():
            consumers = await self._commands.xinfo_consumers(stream, self._group)
        for consumer in consumers:
            if consumer["pending"] == 0 and consumer["idle"] > FORGET_MS:
                await self._scripts.run("leave", [stream], [self._group, consumer["name"]])


def _pairs(flat: Sequence[bytes]) -> Fields:
    return dict(zip(flat[::2], flat[1::2], strict=True))
