"""Proxy: a client's queue that hands out more than the job has, and nobody else knows.

What is handed out beside the job's samples, to check somebody, is an *aside*. All that a client
says of one ends here; what it says of samples goes on to the job.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from caption_flow.errors import CaptionFlowError
from caption_flow.model import EntryId, Failure, Outcomes
from caption_flow.queue.ports import Claimed
from caption_flow.queue.relay import RelayQueue

logger = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")


class AsideQueue(RelayQueue, Generic[A]):
    """RelayQueue with asides; subclasses hand them out, and say what becomes of them."""

    asides: dict[EntryId, A]  # in the client's hands, by the entries that it knows

    @abstractmethod
    async def pictures(self, asides: Sequence[A]) -> dict[EntryId, bytes]:
        """Read the images of asides, by entry."""

    @abstractmethod
    async def judge(self, aside: A, outcomes: Outcomes) -> None:
        """Compare what was made of an aside."""

    @abstractmethod
    async def hand_back(self, asides: Sequence[A], *, failed: bool) -> None:
        """Take back asides of which nothing was made."""

    @abstractmethod
    async def renew_asides(self, asides: Sequence[A]) -> set[EntryId]:
        """Let the client keep its asides; answers those that are lost."""

    def opened(self, held: Claimed) -> Claimed:
        """Find how the job knows what a client holds."""
        return held

    async def images(self, leases: Sequence[Claimed]) -> dict[EntryId, bytes]:
        """Read encoded images, by entry."""
        # Also those of asides, which are not there: an answer must not come sooner for them.
        opened = [self.opened(held) for held in leases]
        found = await super().images(opened)
        pairs = zip(opened, leases, strict=True)
        images = {held.entry: found[one.entry] for one, held in pairs if one.entry in found}
        asides = [self.asides[held.entry] for held in leases if held.entry in self.asides]
        return images | (await self.pictures(asides) if asides else {})

    async def complete(self, done: Sequence[tuple[Claimed, Outcomes]]) -> list[bool]:
        """Move samples on; False where the lease was lost and nothing happened."""
        samples, asides = self._sorted(done, lambda pair: pair[0])
        told = [(self.opened(held), outcomes) for held, outcomes in samples]
        ours = dict(zip(_entries(samples), await super().complete(told), strict=True))
        for held, outcomes in asides:
            aside = self.asides.pop(held.entry, None)
            ours[held.entry] = aside is not None
            if aside is not None:
                await self._settle(aside, outcomes)
        return [ours[held.entry] for held, _ in done]

    async def fail(self, failed: Sequence[tuple[Claimed, Failure]]) -> list[bool]:
        """Give samples up as dead letters; False where the lease was lost."""
        samples, asides = self._sorted(failed, lambda pair: pair[0])
        told = [(self.opened(held), why) for held, why in samples]
        ours = dict(zip(_entries(samples), await super().fail(told), strict=True))
        await self._take_back(_entries(asides), failed=True)
        return [ours.get(held.entry, True) for held, _ in failed]

    async def postpone(self, held: Sequence[tuple[Claimed, Failure, float]]) -> None:
        """Hand back samples that failed, each to be tried again after these seconds."""
        samples, asides = self._sorted(held, lambda each: each[0])
        await self._defer([(self.opened(one), why, delay) for one, why, delay in samples])
        await self._take_back([one.entry for one, *_ in asides], failed=True)

    async def suspect(self, lease: Claimed, failure: Failure) -> None:
        """Note why a sample will have failed should its holder never be heard of again."""
        if lease.entry not in self.asides:
            await super().suspect(self.opened(lease), failure)

    async def release(self, leases: Sequence[Claimed]) -> None:
        """Hand samples back, for anybody at once; it is no attempt."""
        samples, asides = self._sorted(leases, lambda held: held)
        await super().release([self.opened(held) for held in samples])
        await self._take_back([held.entry for held in asides], failed=False)

    async def renew(self, held: Sequence[Claimed]) -> set[EntryId]:
        """Begin leases anew; answers those that were lost."""
        samples, asides = self._sorted(held, lambda one: one)
        opened = [self.opened(one) for one in samples]
        kept = [self.asides[one.entry] for one in asides]
        lost = await super().renew(opened)
        pairs = zip(opened, samples, strict=True)
        return {own.entry for one, own in pairs if one.entry in lost} | (
            await self.renew_asides(kept)
        )

    def drop(self, leases: Sequence[Claimed]) -> None:
        """Note that leases were lost."""
        samples, asides = self._sorted(leases, lambda held: held)
        super().drop([self.opened(held) for held in samples])
        for held in asides:
            del self.asides[held.entry]

    async def _settle(self, aside: A, outcomes: Outcomes) -> None:
        try:
            if outcomes:
                await self.judge(aside, outcomes)
            else:
                await self.hand_back([aside], failed=True)
        except CaptionFlowError as exc:
            logger.warning("A check is not counted. %s", exc)  # the client's samples are settled

    async def _take_back(self, entries: Iterable[EntryId], *, failed: bool) -> None:
        asides = [self.asides.pop(entry) for entry in entries if entry in self.asides]
        try:
            if asides:
                await self.hand_back(asides, failed=failed)
        except CaptionFlowError as exc:
            logger.debug("A check is not handed back: %s", exc)

    def _sorted(
        self, things: Sequence[T], held_of: Callable[[T], Claimed]
    ) -> tuple[list[T], list[T]]:
        """Tell what is said of samples from what is said of asides."""
        if not self.asides:
            return list(things), []
        samples: list[T] = []
        asides: list[T] = []
        for thing in things:
            (asides if held_of(thing).entry in self.asides else samples).append(thing)
        return samples, asides


def _entries(settled: Sequence[tuple[Claimed, object]]) -> list[EntryId]:
    return [held.entry for held, _ in settled]
