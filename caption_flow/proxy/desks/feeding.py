"""Proxy: what a session does for a feeder. It plans and offers as one that reaches Redis does.

Every write is a script that looks at who holds what, so that whatever is asked twice happens once.
Chunks are held under a name of the connection, and taken up by the one that resumes it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.dataset.known import finished_parts, joined_digests
from caption_flow.dataset.snapshot import shared_async
from caption_flow.errors import (
    CaptionFlowError,
    QueueUnreachable,
    SourceError,
    StorageBlocked,
)
from caption_flow.lifecycle import cancel
from caption_flow.model import ChunkLease, EntryId
from caption_flow.proxy.desk import End, Handler
from caption_flow.proxy.desks import brought
from caption_flow.proxy.desks.channel import consumer
from caption_flow.proxy.desks.introduce import Introduction
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Budget
from caption_flow.wire import feeding
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import Did, Lost, Refused, Release, Renewal

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

_UNSEEN = (
    "The job has finished parts that its proxy does not see, so that what is captioned already "
    "cannot be told from what is new. Its operator has to set storage.data_dir of the proxy to the "
    "folder that the sinks write to, or feed from a host that has it."
)


class FeedDesk:
    """Desk, see proxy/desk.py."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._common = session.common
        self._leases: dict[EntryId, ChunkLease] = {}
        self._resumed = not session.hello.resume
        self._telling: asyncio.Task[None] | None = None
        newest = self._common.view.newest
        self._queue = RedisFeedQueue(
            self._common.job,
            name=consumer(session.grant.name, session.ticket, 0),
            stages=newest.order if newest else ("",),
            lease_seconds=newest.settings.lease_seconds if newest else self._common.lease_seconds,
            host=f"{session.grant.name}/{session.hello.host}",
            reclaims=self._common.reclaims,
        )
        introduction = Introduction(session, self._queue)
        self.handlers: Mapping[type[Frame], Handler] = {
            feeding.Publish: introduction.publish,
            feeding.Remind: introduction.remind,
            feeding.Position: self._position,
            feeding.Epoch: self._epoch,
            feeding.Plan: self._plan,
            feeding.KnownWanted: self._tell_known,
            feeding.Claim: self._claim,
            feeding.OfferMade: self._offer,
            feeding.Look: self._look,
            feeding.Withdraw: self._withdraw,
            Renewal: self._renew,
            Release: self._release,
        }

    def look(self) -> None:
        """Follow other settings."""
        if (newest := self._common.view.newest) is not None:
            self._queue.serve(newest.order)

    async def close(self, end: End) -> None:
        """Hand chunks back: at once, or if the client stays away."""
        if end.code is Close.GOING or not (self._leases or self._session.hello.resume):
            return
        if end.resumable:
            self._common.abandon_later([self._queue])
        else:
            await self._common.abandon([self._queue], attempted=False)

    # The plan

    async def _position(self, asked: feeding.Position, _payload: memoryview) -> None:
        await self._answer(feeding.Stands(asked.id, await self._queue.position()))

    async def _epoch(self, asked: feeding.Epoch, _payload: memoryview) -> None:
        await self._answer(feeding.Stands(asked.id, await self._queue.epoch()))

    async def _plan(self, plan: feeding.Plan, payload: memoryview) -> None:
        self._check_settings()
        chunk = brought.chunk(bytes(payload)) if payload else None
        planned = await self._queue.plan(
            plan.before, plan.after, chunk, backlog=plan.backlog, done=plan.done
        )
        await self._answer(feeding.Planned(plan.id, planned.status, planned.position))

    async def _tell_known(self, wanted: feeding.KnownWanted, _payload: memoryview) -> None:
        """Begin to tell, beside all else; whoever asks again hears it from the start."""
        if self._telling is not None:
            await cancel(self._telling)
        self._telling = self._session.spawn(self._tell(wanted))

    async def _tell(self, wanted: feeding.KnownWanted) -> None:
        try:
            # Closed at once: it may hold a lock.
            async with aclosing(self._known(later=wanted.later)) as known:
                async for digests in known:
                    for page in _pages(digests):
                        await self._session.outbox.send(feeding.Digests(wanted.id), page)
        except (QueueUnreachable, StorageBlocked) as exc:
            logger.warning("Cannot tell %s what is known. %s", self._session.member, exc)
            await self._answer(
                Refused(wanted.id, "unreachable", "What is known already cannot be read now.")
            )
        except CaptionFlowError as exc:
            logger.warning("Cannot tell %s what is known. %s", self._session.member, exc)
            await self._answer(Refused(wanted.id, "unfit", _UNSEEN))
        else:
            await self._answer(Did(wanted.id))

    async def _known(self, *, later: bool) -> AsyncGenerator[bytearray, None]:
        """Give digests of what is on its way, given up, and captioned; in the order of the flow.

        A sample only moves downstream, so whatever moves meanwhile is seen at least once.
        """
        queue, folder = self._queue, self._common.supply.folder
        if later:
            yield await asyncio.to_thread(joined_digests, await queue.underway())
        yield await asyncio.to_thread(joined_digests, await queue.dead_ids())
        recorded = await queue.parts()
        if folder is None:
            if recorded:
                raise SourceError("No storage.data_dir is there.")
            return
        async with shared_async(folder.path):
            for part in await asyncio.to_thread(finished_parts, folder, recorded):
                yield await asyncio.to_thread(lambda p=part: joined_digests(folder.ids(p)))  # type: ignore[misc]

    # Chunks

    async def _claim(self, claim: feeding.Claim, _payload: memoryview) -> None:
        self._check_settings()
        await self._resume()
        unknown = [e for e in self._leases if e not in claim.holding]
        lease = self._leases[unknown[0]] if unknown else await self._queue.claim_chunk(wait=False)
        if lease is None:
            await self._answer(feeding.ChunkSent(claim.id, "", 0, 0))
            return
        self._leases[lease.entry] = lease
        sent = feeding.ChunkSent(claim.id, lease.entry, lease.cursor, lease.attempt)
        await self._session.outbox.send(sent, records.encode(lease.chunk))

    async def _offer(self, made: feeding.OfferMade, payload: memoryview) -> None:
        self._check_settings()
        lease = await self._lease(made.entry, made.cursor)
        if lease is None:
            room = await self._queue.room()
            await self._answer(feeding.Offered(made.id, "lost", 0, room.bytes, room.samples))
            return
        names = lease.chunk.names[made.cursor : made.cursor + len(made.sizes)]
        if len(names) < len(made.sizes):
            raise Breach(Close.FORBIDDEN, "More samples are offered than the chunk has.")
        parts = self._taken_apart(made, payload)
        offers = [
            brought.offer(*part, lease.chunk, name) for part, name in zip(parts, names, strict=True)
        ]
        answer = await self._queue.offer(lease, offers, self._budget(made))
        if answer.status == "lost" or answer.cursor >= lease.chunk.count:
            self._leases.pop(made.entry, None)
        elif answer.status != "full":
            self._leases[made.entry] = replace(lease, cursor=answer.cursor)
        if answer.status == "ok":
            self._common.figures.fed += len(offers)
        room = answer.room
        await self._answer(
            feeding.Offered(made.id, answer.status, answer.cursor, room.bytes, room.samples)
        )

    def _taken_apart(
        self, made: feeding.OfferMade, payload: memoryview
    ) -> Iterator[tuple[bytes, bytes, bytes]]:
        if sum(map(sum, made.sizes)) != len(payload):
            raise Breach(Close.MALFORMED, "An offer is shorter or longer than it says.")
        if any(image > self._common.supply.most_image for _, image, _ in made.sizes):
            raise Breach(Close.LARGE, "An image is larger than it may be.")
        at = 0
        for record, image, failure in made.sizes:
            ends = (at + record, at + record + image, at + record + image + failure)
            yield (
                bytes(payload[at : ends[0]]),
                bytes(payload[ends[0] : ends[1]]),
                bytes(payload[ends[1] : ends[2]]),
            )
            at = ends[2]

    def _budget(self, made: feeding.OfferMade) -> Budget:
        ours = self._common.supply.budget
        return Budget(
            bytes=min(ours.bytes, made.most_bytes), samples=min(ours.samples, made.most_samples)
        )

    async def _look(self, look: feeding.Look, _payload: memoryview) -> None:
        lease = await self._lease(look.entry, look.cursor)
        if lease is None:
            await self._answer(feeding.Begun(look.id, "lost", 0, 0))
        elif look.begins:
            begun = await self._queue.begin_look(lease)
            await self._answer(feeding.Begun(look.id, begun.status, begun.cursor, begun.looks))
        else:
            await self._queue.end_look(lease)
            await self._answer(feeding.Begun(look.id, "ok", look.cursor, 0))

    async def _withdraw(self, withdraw: feeding.Withdraw, _payload: memoryview) -> None:
        lease = await self._lease(withdraw.entry)
        status = (
            "lost"
            if lease is None
            else await self._queue.withdraw(lease, withdraw.before, withdraw.after)
        )
        if status != "moved":
            self._leases.pop(withdraw.entry, None)
        await self._answer(feeding.Withdrawn(withdraw.id, status))

    async def _renew(self, renewal: Renewal, _payload: memoryview) -> None:
        await self._resume()
        held = [entry for entry in renewal.entries if entry in self._leases]
        lost = await self._queue.renew(held) if held else set[EntryId]()
        self._queue.drop([self._leases.pop(entry) for entry in lost])
        gone = tuple(entry for entry in renewal.entries if entry not in self._leases)
        await self._answer(Lost(renewal.id, gone))

    async def _release(self, release: Release, _payload: memoryview) -> None:
        for entry in release.entries:
            if (lease := await self._lease(entry)) is not None:
                await self._queue.release_chunk(lease)
                self._leases.pop(entry, None)
        await self._answer(Did(release.id))

    async def _lease(self, entry: EntryId, cursor: int | None = None) -> ChunkLease | None:
        """Find what is held, as the client sees it; None: not any more."""
        await self._resume()
        lease = self._leases.get(entry)
        return lease if lease is None or cursor is None else replace(lease, cursor=cursor)

    async def _resume(self) -> None:
        """Take up the chunks that the client held over its former connections, once."""
        if self._resumed:
            return
        hello = self._session.hello
        for former in (*hello.tickets, hello.resume):
            name = consumer(self._session.grant.name, former, 0)
            self._leases |= {lease.entry: lease for lease in await self._queue.adopt(name)}
        self._resumed = True

    def _check_settings(self) -> None:
        if self._common.view.newest is None:
            raise QueueUnreachable("The job has no settings yet.")

    async def _answer(self, frame: Any) -> None:
        await self._session.outbox.answer(frame)


def _pages(digests: bytearray) -> Iterator[bytes]:
    for start in range(0, len(digests), feeding.MOST_DIGESTS):
        yield bytes(digests[start : start + feeding.MOST_DIGESTS])
