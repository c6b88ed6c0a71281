"""Proxy: the queue of a trusted worker, who makes captions of contributors again.

To its client they are samples like any other. What it makes of them is compared, and goes nowhere.
"""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.errors import CaptionFlowError
from caption_flow.model import EntryId, Outcome, Outcomes
from caption_flow.proxy.checks.agreement import agreement
from caption_flow.proxy.checks.asides import AsideQueue
from caption_flow.proxy.checks.verdict import in_words, verdict
from caption_flow.queue.checks import Unjudged
from caption_flow.queue.consumer import Consumer, Delivery, readable
from caption_flow.queue.ports import Claimed
from caption_flow.queue.ports.checks import Verdict
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.relay import Handout

if TYPE_CHECKING:
    from caption_flow.proxy.checks.checks import Checks

logger = logging.getLogger(__name__)

SHARE = 0.25  # of what a trusted worker gets, while the job has samples
MOST_AT_ONCE = 4  # each is read with its image
MOST_ATTEMPTS = 3
_BEYOND = 1 << 63  # sequence numbers that no sample of the job has

_outcome = msgspec.json.Decoder(Outcome)


class Check(Struct, frozen=True):
    """A caption of a contributor, to be made again."""

    handout: Handout
    delivery: Delivery  # without the image
    made: Outcome


class CheckerQueue(AsideQueue[Check]):
    """AsideQueue, see asides; its asides are captions of others."""

    def __init__(
        self, checks: "Checks", *, name: str, contributor: str, reclaims: Reclaims
    ) -> None:
        super().__init__(checks.job, name=name, contributor=contributor, reclaims=reclaims)
        self.asides: dict[EntryId, Check] = {}
        self._checks = checks
        self._waiting: Consumer | None = None  # of what is to be made again
        self._owed = 0.0  # checks, for the samples that were handed out

    async def serve(
        self,
        order: Sequence[str],
        *,
        lease_seconds: float,
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> None:
        """Say which stages the job has, and of which to claim; again when that changes."""
        await super().serve(order, lease_seconds=lease_seconds, only=only, former=former)
        redis = self._checks.redis
        served = [stage for stage in order if only is None or stage in only]
        self._stage_of |= dict(zip(redis.streams(served), served, strict=True))
        if self._waiting is None:
            self._waiting = redis.consumer(served, self._name, lease_seconds, self._reclaims)
        else:
            self._waiting.follow(redis.streams(served))

    async def hand(self, count: int) -> list[Handout]:
        """Lease up to `count` samples, with checks among them if there are any."""
        checks = await self._take_checks(min(count, int(self._owed)))
        try:
            handouts = await super().hand(count - len(checks)) if len(checks) < count else []
        except CaptionFlowError:
            self._untake([self.asides.pop(check.holding.entry).delivery for check in checks])
            raise
        self._owed = max(0.0, self._owed - len(checks)) + SHARE * len(handouts)
        self._owed = min(self._owed, MOST_AT_ONCE)
        if (left := count - len(checks) - len(handouts)) > 0:
            checks += await self._take_checks(left)
        return [*checks, *handouts]

    async def abandon(self, *, attempted: bool) -> None:
        """Hand back all that is held under our name, see Consumer."""
        self.asides.clear()
        if self._waiting is not None:
            await self._waiting.abandon(attempted=attempted)
        await super().abandon(attempted=attempted)

    def drop(self, leases: Sequence[Claimed]) -> None:
        """Note that leases were lost."""
        for held in leases:
            if held.entry in self.asides:
                self._forget_probes(self.asides[held.entry])
        super().drop(leases)

    async def pictures(self, asides: Sequence[Check]) -> dict[EntryId, bytes]:
        """Read the copies of images, by entry."""
        images: dict[EntryId, bytes] = {}
        for stream, checks in _by_stream(asides).items():
            found = await self._checks.redis.pixels(stream, [c.delivery.entry for c in checks])
            images |= {_entry(c): found.get(c.delivery.entry, b"") for c in checks}
        return {entry: image for entry, image in images.items() if image}

    async def judge(self, aside: Check, outcomes: Outcomes) -> None:
        """Compare a contributor's caption with that of our client."""
        ours, theirs = outcomes[0], aside.made
        if (ours.stage, ours.prompts) != (theirs.stage, theirs.prompts):
            await self._settle_as(aside, "dropped")  # the prompts were others meanwhile
            return
        texts, others = (_texts(outcome) for outcome in (ours, theirs))
        found = verdict(
            *(aside.delivery.fields[b"by"].decode(), _id(aside), "again"),
            expected=in_words(texts, ours.fields),
            given=in_words(others, theirs.fields),
            found=agreement(texts, others, ours.fields, theirs.fields),
            least=self._checks.config.agreement,
        )
        await self._settle_as(aside, found)

    async def hand_back(self, asides: Sequence[Check], *, failed: bool) -> None:
        """Let others try, unless the trusted worker itself has failed."""
        for check in asides:
            if failed:
                await self._settle_as(check, "dropped")
            elif self._waiting is not None:
                await self._waiting.release(check.delivery.stream, [check.delivery.entry])

    async def renew_asides(self, asides: Sequence[Check]) -> set[EntryId]:
        """Renew the leases of checks."""
        lost: set[EntryId] = set()
        for stream, checks in _by_stream(asides).items():
            entries = [check.delivery.entry for check in checks]
            gone = await self._checks.redis.renew(stream, self._name, entries)
            lost |= {_entry(check) for check in checks if check.delivery.entry in gone}
        return lost

    async def _take_checks(self, most: int) -> list[Handout]:
        """Lease checks; none where Redis does not answer, since the job's samples come first."""
        if most <= 0 or self._waiting is None:
            return []
        taken: list[Delivery] = []
        try:
            taken = await self._waiting.take(min(most, MOST_AT_ONCE), wait=False)
            checks = [check async for check in self._sound(readable(taken, self._check))]
        except CaptionFlowError as exc:
            logger.debug("Nothing is checked: %s", exc)
            self._untake(taken)
            return []
        self.asides |= {_entry(check): check for check in checks}
        return [check.handout for check in checks]

    async def _sound(self, checks: Sequence[Check]) -> AsyncIterator[Check]:
        """Drop what several trusted workers have died with, or so it seems."""
        for check in checks:
            if check.delivery.attempt <= MOST_ATTEMPTS:
                yield check
            else:
                await self._settle_as(check, "dropped")

    def _untake(self, deliveries: Sequence[Delivery]) -> None:
        """Let the next take find what could not be handed out."""
        for delivery in deliveries:
            if self._waiting is not None:
                self._waiting.again(delivery)

    def _check(self, delivery: Delivery) -> Check:
        handout = self._handout(delivery, {})
        entry = f"{delivery.entry.split('-')[0]}-{_BEYOND + next(self._checks.numbers)}"
        holding = replace(handout.holding, entry=entry, image=entry, attempt=1)
        fields = {name: value for name, value in delivery.fields.items() if name != b"pixels"}
        made = _outcome.decode(fields[b"made"])
        return Check(replace(handout, holding=holding), replace(delivery, fields=fields), made)

    async def _settle_as(self, check: Check, found: Verdict | Unjudged) -> None:
        stage = check.handout.holding.stage
        await self._checks.redis.judge(check.delivery, stage, found)
        self._forget_probes(check)

    def _forget_probes(self, check: Check) -> None:
        if self._waiting is not None:
            self._waiting.forget(check.delivery.stream, [check.delivery.entry])


def _entry(check: Check) -> EntryId:
    return check.handout.holding.entry


def _id(check: Check) -> str:
    return records.sample_from(_entry(check), check.delivery.fields).id


def _texts(outcome: Outcome) -> list[str]:
    return [text for texts in outcome.outputs.values() for text in texts]


def _by_stream(checks: Sequence[Check]) -> dict[str, list[Check]]:
    groups: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        groups[check.delivery.stream].append(check)
    return groups
