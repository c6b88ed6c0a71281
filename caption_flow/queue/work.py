"""Queue: WorkQueue on Redis. Samples are leased, renewed, and leave a stage once."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.errors import CaptionFlowError
from caption_flow.keeper import Renew
from caption_flow.model import EntryId, Failure, Lease, Outcomes, following
from caption_flow.queue import keys
from caption_flow.queue.border import answers, translated
from caption_flow.queue.consumer import Consumer, Delivery, readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Claimed, Deferral
from caption_flow.queue.reclaims import Reclaims

T = TypeVar("T")


class RedisWorkQueue(RedisJob):
    """WorkQueue, see ports."""

    _renews = True  # what it claims, see Consumer

    def __init__(
        self,
        job: RedisJob,
        *,
        name: str,
        contributor: str = "",
        reclaims: Reclaims | None = None,
    ) -> None:
        """`reclaims`: shared with other queues of the process, see Consumer."""
        super().__init__(job.connections, job.job, lane=job.lane.lane)
        self._name = name
        self._contributor = contributor
        self._reclaims = reclaims
        self._order: tuple[str, ...] = ()  # the stages of the job
        self._stage_of: dict[str, str] = {}  # by stream, of all that were ever served
        self._consumer: Consumer | None = None

    async def serve(
        self,
        order: Sequence[str],
        *,
        lease_seconds: float,
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> None:
        """Say which stages the job has, and of which to claim; again when that changes."""
        self._order = tuple(order)
        self._lease_ms = int(lease_seconds * 1000)
        # The last first, so that what is begun is finished first.
        served = [stage for stage in reversed(order) if only is None or stage in only]
        streams = {self.lane.samples(stage): stage for stage in (*former, *served)}
        self._stage_of |= streams
        if self._consumer is None:
            self._consumer = Consumer(
                self.connections,
                self.scripts,
                list(streams),
                group=keys.WORKERS,
                name=self._name,
                lease_seconds=lease_seconds,
                reclaims=self._reclaims,
                renews=self._renews,
            )
        else:
            self._consumer.follow(list(streams))

    async def claim(self, count: int, *, new: bool = True, wait: bool = True) -> list[Lease]:
        """Lease up to `count` samples; empty when none came for a moment, or nothing `new` may.

        Without `wait` also when none is there.
        """
        if not new:
            return []
        taken, failures = await self._take(count, wait=wait)
        return readable(taken, lambda delivery: self._lease(delivery, failures))

    async def _take(
        self, count: int, *, wait: bool
    ) -> tuple[list[Delivery], Mapping[EntryId, bytes]]:
        """Lease up to `count` samples; answers them with why they failed before."""
        taken = await self._source.take(count, wait=wait)
        try:
            return taken, await self._failures([d.entry for d in taken if d.handed_on])
        except (CaptionFlowError, asyncio.CancelledError):
            for delivery in taken:
                self._source.again(delivery)
            raise

    def _lease(self, delivery: Delivery, failures: Mapping[EntryId, bytes]) -> Lease:
        return records.lease_from(
            delivery.entry,
            self._stage_of[delivery.stream],
            delivery.fields,
            delivery.attempt,
            failures.get(delivery.entry, b""),
        )

    async def _failures(self, entries: Sequence[EntryId]) -> dict[EntryId, bytes]:
        """Read why entries failed before, of those that did."""
        if not entries:
            return {}
        with translated():
            told = await self.client.hmget(self.lane.failures, entries)
        return {entry: why for entry, why in zip(entries, told, strict=True) if why}

    async def images(self, leases: Sequence[Claimed]) -> dict[EntryId, bytes]:
        """Read the encoded images of the samples, by entry; one that is gone is left out."""
        pipe = self.client.pipeline(transaction=False)
        # Ids of images count on, so that of those claimed together many stand side by side.
        for first, last in runs(lease.image for lease in leases):
            pipe.xrange(self.lane.images, first, last)
        pages = await answers(pipe)
        found = {entry.decode(): fields[b"image"] for page in pages for entry, fields in page}
        return {lease.entry: found[lease.image] for lease in leases if lease.image in found}

    def renewals(self) -> AbstractAsyncContextManager[Renew[Lease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return self._source.renewals(lambda lease: (self.lane.samples(lease.stage), lease.entry))

    def drop(self, leases: Sequence[Claimed]) -> None:
        """Note that leases were lost."""
        for lease in leases:
            self._source.forget(self.lane.samples(lease.stage), [lease.entry])

    def again(self, leases: Sequence[Claimed]) -> None:
        """Let the next claim give leases once more: the caller could not use them yet."""
        for lease in leases:
            self._source.let_go(self.lane.samples(lease.stage), [lease.entry])

    async def complete(self, done: Sequence[tuple[Claimed, Outcomes]]) -> list[bool]:
        """Move samples on; False where the lease was lost and nothing happened."""
        groups: dict[tuple[str, str | None], list[tuple[Claimed, Outcomes]]] = defaultdict(list)
        for lease, outcomes in done:
            passed = {*lease.passed, *(outcome.stage for outcome in outcomes)}
            groups[lease.stage, following(self._order, passed)].append((lease, outcomes))
        ours: dict[EntryId, bool] = {}
        for (stage, target), group in groups.items():
            ours |= await self._complete(stage, target, group)
        return [ours[lease.entry] for lease, _ in done]

    async def _complete(
        self, stage: str, target: str | None, done: Sequence[tuple[Claimed, Outcomes]]
    ) -> dict[EntryId, bool]:
        lane = self.lane
        last = "last" if target is None else ""
        arguments: list[Any] = [keys.WORKERS, self._name, last]
        for lease, outcomes in done:
            arguments += (lease.entry, sum(outcome.prompt_tokens for outcome in outcomes))
            arguments += (sum(outcome.output_tokens for outcome in outcomes), len(outcomes))
            for outcome in outcomes:
                arguments += (outcome.stage, records.encode(outcome))
        answer = await self._source.settle(
            "complete",
            [
                lane.samples(stage),
                lane.captions if target is None else lane.samples(target),
                *(lane.images, lane.counts, lane.failures, lane.cursors),
            ],
            arguments,
        )
        return self._settled(stage, [lease for lease, _ in done], answer)

    async def fail(self, failed: Sequence[tuple[Claimed, Failure]]) -> list[bool]:
        """Give samples up as dead letters; False where the lease was lost."""
        lane = self.lane
        ours: dict[EntryId, bool] = {}
        for stage, group in by_stage(failed, lambda pair: pair[0]).items():
            arguments: list[Any] = [keys.WORKERS, self._name, self._contributor]
            for lease, failure in group:
                arguments += (lease.entry, self._signed(failure))
            places = [lane.samples(stage), lane.dead, lane.images, lane.counts, lane.failures]
            places += [lane.contributors, lane.shards]
            answer = await self._source.settle("fail", places, arguments)
            ours |= self._settled(stage, [lease for lease, _ in group], answer)
        return [ours[lease.entry] for lease, _ in failed]

    async def defer(self, deferrals: Sequence[Deferral]) -> None:
        """Hand back samples that failed, each with its reason, to be tried again after a while."""
        await self._defer([(each.lease, each.failure, each.delay) for each in deferrals])

    async def _defer(self, deferred: Sequence[tuple[Claimed, Failure, float]]) -> None:
        for stage, group in by_stage(deferred, lambda each: each[0]).items():
            stream = self.lane.samples(stage)
            arguments: list[Any] = [keys.WORKERS, self._name, keys.RETURNED]
            for lease, failure, delay in group:
                idle = max(0, self._lease_ms - int(delay * 1000))
                attempt = "1" if failure.own else "0"
                arguments += (lease.entry, idle, attempt, records.encode(failure))
            await self._source.settle("defer", [stream, self.lane.failures], arguments)
            self._source.let_go(stream, [lease.entry for lease, _, _ in group])

    async def suspect(self, lease: Claimed, failure: Failure) -> None:
        """Note why a sample will have failed should its holder never be heard of again."""
        await self._source.settle(
            "suspect",
            [self.lane.samples(lease.stage), self.lane.failures],
            [keys.WORKERS, self._name, lease.entry, records.encode(failure)],
        )

    async def release(self, leases: Sequence[Claimed]) -> None:
        """Hand samples back, for anybody at once; it is no attempt."""
        for stage, group in by_stage(leases, lambda lease: lease).items():
            entries = [lease.entry for lease in group]
            await self._source.release(self.lane.samples(stage), entries)

    async def close(self) -> None:
        """Take our name off the groups."""
        if self._consumer is not None:
            await self._consumer.leave()

    @property
    def _source(self) -> Consumer:
        if self._consumer is None:
            raise CaptionFlowError("A worker must say which stages it serves before it claims.")
        return self._consumer

    def _signed(self, failure: Failure) -> bytes:
        # Whoever tells it, we know whose worker it is.
        return records.encode(replace(failure, contributor=self._contributor))

    def _settled(
        self, stage: str, leases: Sequence[Claimed], answer: Sequence[int] | None
    ) -> dict[EntryId, bool]:
        entries = [lease.entry for lease in leases]
        self._source.forget(self.lane.samples(stage), entries)
        if answer is None:
            return dict.fromkeys(entries, False)
        return {entry: bool(done) for entry, done in zip(entries, answer, strict=True)}


def runs(entries: Iterable[EntryId]) -> list[tuple[EntryId, EntryId]]:
    """Find the first and the last of each run of ids that follow one another, in their order."""
    found: list[tuple[EntryId, EntryId]] = []
    next_ = ""  # the id that would go on with the last run
    for entry in entries:
        if entry == next_:
            found[-1] = (found[-1][0], entry)
        else:
            found.append((entry, entry))
        millis, _, number = entry.partition("-")
        next_ = f"{millis}-{int(number) + 1}" if number.isdecimal() else ""
    return found


def by_stage(things: Iterable[T], lease_of: Callable[[T], Claimed]) -> dict[str, list[T]]:
    """Sort what is said of claimed samples by their stages."""
    groups: dict[str, list[T]] = defaultdict(list)
    for thing in things:
        groups[lease_of(thing).stage].append(thing)
    return groups
