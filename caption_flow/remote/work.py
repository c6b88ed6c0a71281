"""Remote: WorkQueue through a proxy. What is claimed has mostly come already, with its image."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, TypeVar

from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.errors import CaptionFlowError, QueueUnreachable, ServerUnreachable
from caption_flow.keeper import Renew
from caption_flow.model import Counts, EntryId, Failure, Lease, Outcomes
from caption_flow.queue.ports import Deferral
from caption_flow.remote.bridge import Answer
from caption_flow.remote.link import ANSWER_SECONDS, Link
from caption_flow.remote.requests import entries
from caption_flow.wire.fields import MOST_ENTRIES, MOST_RECORD, MOST_SETTLED, Frame
from caption_flow.wire.frames import (
    MOST_HEAD,
    MOST_SAMPLES,
    Complete,
    Defer,
    Fail,
    Fetch,
    Leave,
    Release,
    Renewal,
    Serve,
    Settled,
    Suspect,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

CLAIM_SECONDS = 0.5  # until a claim of nothing is empty
IDLE_SECONDS = 2.0  # without a claim, until what was not claimed goes to others
LEAVE_SECONDS = 2.0  # for a courtesy; whoever must end may be in a hurry
TOO_LARGE = "too_large"  # reason of a sample whose caption no proxy takes
_MOST_BYTES = MOST_HEAD // 2  # of records in one frame; one alone may be larger
_MOST_DETAIL = 1000  # characters of a failure that is too long


class RemoteWorkQueue:
    """WorkQueue, see ports."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel = link.channel()
        self._number = self._channel.number

    async def serve(
        self,
        order: Sequence[str],  # noqa: ARG002 - the proxy knows it
        *,
        lease_seconds: float,  # noqa: ARG002 - likewise
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> None:
        """Say of which stages to claim; again when that changes."""
        served = None if only is None else tuple(only)
        self._channel.follow(Serve(0, self._number, served, tuple(former)))
        self._link.open(self._channel)

    async def claim(self, count: int, *, new: bool = True) -> list[Lease]:
        """Lease up to `count` samples; empty when none came for a moment.

        Not `new`: of those that have come, on credit that was given before.
        """
        if not new:
            return self._channel.claim(count)
        if self._channel.rise():
            self._link.open(self._channel)
        if self._channel.want(count):
            self._link.give_credit(self._channel)
        with suppress(ServerUnreachable):  # none came; the link says why
            await self._waited(self._channel.await_samples, CLAIM_SECONDS)
        if self._channel.trouble is not None:
            raise self._channel.trouble
        return self._channel.claim(count)

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:
        """Take the encoded images of the samples, by entry; one that is gone is left out."""
        waited = True
        while waited:
            if missing := self._channel.to_fetch(leases):
                await self._fetch(missing)
            waited = await self._waited(lambda answer: self._channel.await_images(leases, answer))
        found = self._channel.take_images(leases)
        self._link.give_credit(self._channel)
        return found

    async def _waited(
        self, register: Callable[[Answer], bool], seconds: float = ANSWER_SECONDS
    ) -> bool:
        """Wait for what the channel is to tell; False where there was nothing to wait for."""
        answer = self._link.answer()
        try:
            if not register(answer):
                return False
            await self._link.waited(answer, seconds)
            return True
        finally:
            self._channel.ignore(answer)

    async def _fetch(self, missing: list[EntryId]) -> None:
        came = False
        try:
            for group in _groups(missing, MOST_ENTRIES):
                await self._link.ask(Fetch(0, self._number, group), self._channel)
            came = True
        finally:
            self._channel.fetched(missing, came=came)

    def renewals(self) -> AbstractAsyncContextManager[Renew[Lease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return self._renewing()

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[Renew[Lease]]:
        yield self._renew

    async def _renew(self, held: Sequence[Lease]) -> list[Lease]:
        """Renew what is held, and what nobody has claimed yet."""
        await self._rest(IDLE_SECONDS)
        lost = self._channel.lost_of(held)
        waiting = [lease.entry for lease in self._channel.unclaimed()]
        ours = [lease.entry for lease in held if lease.entry not in lost]
        # What is being handed back may have come again already.
        for group in _groups(list(dict.fromkeys([*ours, *waiting])), MOST_ENTRIES):
            sent, reply = await self._link.ask(Renewal(0, self._number, group), self._channel)
            renewed = set(entries(sent)) - set(reply.entries) if reply else set()
            lost |= set(group) - renewed
        self._channel.lose_unclaimed(lost.intersection(waiting))
        return [lease for lease in held if lease.entry in lost]

    def drop(self, leases: Sequence[Lease]) -> None:
        """Note that leases were lost."""
        self._channel.drop(leases)
        self._link.give_credit(self._channel)

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:
        """Hand in what stages made of samples; False where the lease was lost."""
        most = self._link.welcome.most_text
        made = [(lease, tuple(map(records.encode, outcomes))) for lease, outcomes in done]
        large = [
            lease
            for (lease, records_), (_, outcomes) in zip(made, done, strict=True)
            if any(len(record) > MOST_RECORD for record in records_) or _is_long(outcomes, most)
        ]
        if large:
            # Whoever hands that in is turned away, and so would be the next worker.
            logger.warning("Gave up %d samples whose captions are too large", len(large))
            await self.fail([(lease, _too_large(lease, most)) for lease in large])
        ours = await self._settle(Complete, [pair for pair in made if pair[0] not in large])
        return [ours.get(lease.entry, False) for lease, _ in done]

    async def fail(self, failed: Sequence[tuple[Lease, Failure]]) -> list[bool]:
        """Give samples up as dead letters; False where the lease was lost."""
        ours = await self._settle(Fail, [(lease, _record(failure)) for lease, failure in failed])
        return [ours[lease.entry] for lease, _ in failed]

    async def defer(self, deferrals: Sequence[Deferral]) -> None:
        """Hand back samples that failed, each with its reason, to be tried again after a while."""
        await self._settle(Defer, [(d.lease, _record(d.failure), d.delay) for d in deferrals])

    async def release(self, leases: Sequence[Lease]) -> None:
        """Hand samples back, for anybody at once; it is no attempt."""
        await self._settle(Release, [(lease,) for lease in leases])
        await self._rest()

    async def _rest(self, idle: float = 0.0) -> None:
        """Let nothing come, and others have what did, before the next claim; it may be the last."""
        if self._channel.rest(idle):
            self._link.open(self._channel)
        elif not self._channel.resting:
            return
        unclaimed = self._channel.claim(MOST_SAMPLES)
        try:
            await self._settle(Release, [(lease,) for lease in unclaimed])
        except QueueUnreachable:  # their leases run out
            self.drop(unclaimed)

    async def suspect(self, lease: Lease, failure: Failure) -> None:
        """Note why a sample will have failed should its holder never be heard of again."""
        if not self._channel.lost_of([lease]):
            frame = Suspect(0, self._number, lease.entry, _record(failure))
            await self._link.ask(frame, self._channel)

    async def counts(self) -> Counts:
        """Read the books."""
        return await self._link.counts()

    async def close(self) -> None:
        """Give the channel up, and what came and was not claimed with it."""
        with suppress(CaptionFlowError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._link.ask(Leave(0, self._number), self._channel)

    async def _settle(
        self, kind: type[Frame], things: Sequence[tuple[Any, ...]]
    ) -> dict[EntryId, bool]:
        """Say what becomes of samples, in as many frames as that takes; each begins with a lease.

        Answers which of them were still ours, where that is answered.
        """
        ours = dict.fromkeys([lease.entry for lease, *_ in things], False)
        for group in _groups(things, MOST_SETTLED, _weight):
            ours |= await self._settle_group(kind, group)
        self._link.give_credit(self._channel)
        return ours

    async def _settle_group(
        self, kind: type[Frame], group: Sequence[tuple[Any, ...]]
    ) -> dict[EntryId, bool]:
        leases = [lease for lease, *_ in group]
        ours = self._channel.begin_settling(leases)
        listed = {
            lease.entry: (lease.entry, *rest) if rest else lease.entry
            for lease, *rest in group
            if lease.entry in ours
        }
        settled, reply = False, None
        try:
            if listed:
                frame = kind(0, self._number, tuple(listed.values()))
                sent, reply = await self._link.ask(frame, self._channel)
            settled = True
        finally:
            self._channel.end_settling(leases, settled=settled)
        if not isinstance(reply, Settled):
            return {}
        return dict(zip(entries(sent), reply.ours, strict=True))


def _groups(
    things: Sequence[T], most: int, weight: Callable[[T], int] = lambda _: 0
) -> Iterator[tuple[T, ...]]:
    """Part things into groups, each of few enough, and of few enough bytes."""
    group: list[T] = []
    size = 0
    for thing in things:
        size += weight(thing)
        if group and (len(group) == most or size > _MOST_BYTES):
            yield tuple(group)
            group, size = [], weight(thing)
        group.append(thing)
    if group:
        yield tuple(group)


def _weight(thing: tuple[Any, ...]) -> int:
    records_ = thing[1] if len(thing) > 1 else b""
    return len(records_) if isinstance(records_, bytes) else sum(map(len, records_))


def _record(failure: Failure) -> bytes:
    record = records.encode(failure)
    if len(record) <= MOST_RECORD:
        return record
    return records.encode(replace(failure, detail=failure.detail[:_MOST_DETAIL]))


def _is_long(outcomes: Outcomes, most: int) -> bool:
    texts = (text for outcome in outcomes for made in outcome.outputs.values() for text in made)
    # No character takes less than a byte, so that most texts need not be measured.
    return any(4 * len(text) > most and len(text.encode()) > most for text in texts)


def _too_large(lease: Lease, most: int) -> Failure:
    what = f"its caption is larger than the proxy takes: {most:,} bytes of a text"
    return Failure(TOO_LARGE, what, time.time(), lease.stage, lease.attempt)
