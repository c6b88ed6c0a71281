"""Proxy: the queue of a contributor who is checked.

Of what it makes, some is kept to be made again; of what it gets, some is known already.
"""

import logging
import random
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from caption_flow.errors import CaptionFlowError
from caption_flow.model import EntryId, Outcomes
from caption_flow.proxy.checks.asides import AsideQueue
from caption_flow.proxy.checks.lending import Lending, Lent, Pool
from caption_flow.proxy.checks.verdict import in_words, verdict
from caption_flow.queue.consumer import Delivery
from caption_flow.queue.ports import Claimed
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.relay import Handout, Holding

if TYPE_CHECKING:
    from caption_flow.proxy.checks.checks import Checks

logger = logging.getLogger(__name__)

_chance = random.SystemRandom()


class WatchedQueue(AsideQueue[Lent]):
    """AsideQueue, see asides; its asides are images with known captions."""

    def __init__(
        self, checks: "Checks", *, name: str, contributor: str, reclaims: Reclaims
    ) -> None:
        super().__init__(checks.job, name=name, contributor=contributor, reclaims=reclaims)
        self.asides: dict[EntryId, Lent] = {}
        self._checks = checks
        self._pool: Pool | None = checks.pool
        self._lending = None if checks.pool is None else Lending(checks.pool, name, contributor)
        self._dry = True  # the job had less than was wanted
        self._unsent: list[Handout] = []  # images that never arrived on a former connection

    async def hand(self, count: int) -> list[Handout]:
        """Lease up to `count` samples, with images among them if there are any."""
        if self._lending is None:
            return await super().hand(count)
        lent = self._unsent[:count]
        # A probe takes the place of a sample only where there are more than was wanted.
        lent += [] if self._dry else await self._lend(count - len(lent))
        self._unsent = lent + self._unsent[count:]  # should the job not answer
        wanted = count - len(lent)
        handouts = await super().hand(wanted) if wanted else []
        self._unsent = self._unsent[len(lent) :]
        self._lending.owe(handouts)
        self._dry = len(handouts) < wanted
        if self._dry and handouts:
            lent += await self._lend(wanted - len(handouts))
        for one in lent:
            handouts.insert(_chance.randint(0, len(handouts)), one)
        return handouts

    async def complete(self, done: Sequence[tuple[Claimed, Outcomes]]) -> list[bool]:
        """Move samples on; False where the lease was lost and nothing happened."""
        for held, outcomes in done:
            if outcomes and held.entry not in self.asides:
                await self._keep(self.opened(held), outcomes)
        return await super().complete(done)

    async def adopt(
        self, former: str, stages: Collection[str], holding: Collection[EntryId]
    ) -> list[Holding]:
        """Take up what another consumer of the same client holds, in any of these stages."""
        if self._lending is None or self._pool is None:
            return await super().adopt(former, stages, holding)
        opened = {self._pool.seal.open(entry) for entry in holding}
        kept = await super().adopt(former, stages, opened)
        told = await self._pool.probes.inherit(former, self._name, self._lease_ms)
        for entry, probe in told.items():
            lent = self.asides[entry] = Lent(entry, probe)
            handout = self._lending.handout(lent)
            if entry in holding:
                kept.append(handout.holding)
            elif all(one.holding.entry != entry for one in self._unsent):
                self._unsent.append(handout)
        return kept

    async def abandon(self, *, attempted: bool) -> None:
        """Hand back all that is held under our name, see Consumer."""
        if self._pool is not None:
            await self._pool.probes.forget_probes(self._name)
        self.asides.clear()
        await super().abandon(attempted=attempted)

    async def pictures(self, asides: Sequence[Lent]) -> dict[EntryId, bytes]:
        """Read images, by entry."""
        assert self._lending is not None  # noqa: S101 - for mypy: nothing else lends
        images = {lent.entry: await self._lending.image(lent) for lent in asides}
        return {entry: image for entry, image in images.items() if image}

    async def judge(self, aside: Lent, outcomes: Outcomes) -> None:
        """Compare a caption with the one that is known."""
        assert self._pool is not None  # noqa: S101 - likewise
        name, made = aside.probe.name, outcomes[0]
        truth = self._pool.known.truth(name)
        if truth is None:  # it was lent by another proxy, with another folder
            return
        texts = [text for texts in made.outputs.values() for text in texts]
        found = verdict(
            *(self._contributor, name, "known"),
            expected=in_words(truth.texts, truth.fields),
            given=in_words(texts, made.fields),
            found=truth.agreement(texts, made.fields),
            least=self._checks.config.agreement,
        )
        await self._pool.probes.judge_probe(self._name, aside.entry, self._contributor, found)

    async def hand_back(self, asides: Sequence[Lent], *, failed: bool) -> None:  # noqa: ARG002
        """Count images that were not captioned."""
        assert self._pool is not None  # noqa: S101 - likewise
        for lent in asides:
            who = (self._name, lent.entry, self._contributor)
            await self._pool.probes.judge_probe(*who, "unanswered")

    async def renew_asides(self, asides: Sequence[Lent]) -> set[EntryId]:
        """Let the client keep what it was lent; asked also when that is nothing, see asides."""
        if self._pool is None:
            return set()
        kept = await self._pool.probes.renew_probes(self._name, self._lease_ms)
        return set() if kept else {lent.entry for lent in asides}

    def opened(self, held: Claimed) -> Claimed:
        """Find how the job knows what a client holds."""
        return held if self._lending is None else self._lending.opened(held)

    def _handout(self, delivery: Delivery, failures: Mapping[EntryId, bytes]) -> Handout:
        handout = super()._handout(delivery, failures)
        return handout if self._lending is None else self._lending.sealed(handout)

    async def _lend(self, most: int) -> list[Handout]:
        if self._lending is None:
            return []
        lent = await self._lending.lend(most, self._lease_ms)
        self.asides |= {one.entry: one for one, _ in lent}
        return [handout for _, handout in lent]

    async def _keep(self, held: Claimed, outcomes: Outcomes) -> None:
        """Keep what was made to be made again, if chance will have it and there is room."""
        which = self._checks.chosen(held.entry, len(outcomes))
        if which is None:
            return
        try:
            redis = self._checks.redis
            await redis.keep(self._name, held, self._contributor, outcomes, which)
        except CaptionFlowError as exc:
            logger.debug("A caption is not kept to be checked: %s", exc)
