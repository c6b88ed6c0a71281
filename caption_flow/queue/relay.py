"""Queue: WorkQueue for clients of a proxy, whose samples are passed on as they stand.

What the proxy must know of a sample is read; the rest goes to the client as the bytes it is, but
for who had it before.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from caption_flow.codec.records import OUTCOME_PREFIX, UnreadableRecord
from caption_flow.model import EntryId, Failure
from caption_flow.queue import keys, veil
from caption_flow.queue.consumer import Delivery, readable
from caption_flow.queue.ports import Claimed
from caption_flow.queue.renewals import renewed
from caption_flow.queue.work import RedisWorkQueue, by_stage

_PAGE = 256  # samples read at once; each brings all that is said of it


class Holding(Struct, frozen=True):
    """A sample in a client's hands. A proxy holds thousands, and none of their columns."""

    entry: EntryId
    stage: str
    image: EntryId
    attempt: int
    passed: tuple[str, ...]
    elsewhere: bool  # its image does not lie in the queue: a reference says where
    bytes: int  # of what is said of it, and of its image; a queue needs more memory for them
    noted: int  # bytes that its failures take so far


class Handout(Struct, frozen=True):
    """A sample on its way to a client, as JSON from the streams."""

    holding: Holding
    sample: bytes
    outcomes: tuple[bytes, ...]
    failures: bytes  # JSON objects with commas between them


class _Seen(Struct):
    """What is looked at in a sample."""

    reference: Raw | UnsetType = UNSET
    bytes: int = 0  # of its image


_seen = msgspec.json.Decoder(_Seen)


class RelayQueue(RedisWorkQueue):
    """The consumer of one channel."""

    _renews = False

    async def hand(self, count: int) -> list[Handout]:
        """Lease up to `count` samples of those that are there."""
        taken, failures = await self._take(count, wait=False)
        return readable(taken, lambda delivery: self._veiled(self._handout(delivery, failures)))

    async def adopt(
        self, former: str, stages: Collection[str], holding: Collection[EntryId]
    ) -> list[Holding]:
        """Take up what another consumer of the same client holds, in any of these stages.

        Answers what of `holding` is now ours; the rest of what is ours is handed out once more.
        """
        kept: list[Holding] = []
        for stage in stages:
            stream = self.lane.samples(stage)
            self._stage_of[stream] = stage
            adopted = await self._source.adopt(stream, former)
            wanted = iter([pair for pair in adopted.items() if pair[0] in holding])
            while page := dict(islice(wanted, _PAGE)):
                found = await self._source.recall(stream, page)
                kept += readable(found, lambda delivery: self._handout(delivery, {}).holding)
        return kept

    async def renew(self, held: Sequence[Claimed]) -> set[EntryId]:
        """Begin leases anew; answers those that were lost."""
        lost: set[EntryId] = set()
        for stage, group in by_stage(held, lambda holding: holding).items():
            entries = [holding.entry for holding in group]
            stream = self.lane.samples(stage)
            lost |= await renewed(self.scripts, stream, keys.WORKERS, self._name, entries)
        return lost

    async def postpone(self, held: Sequence[tuple[Claimed, Failure, float]]) -> None:
        """Hand back samples that failed, each to be tried again after these seconds."""
        await self._defer(held)

    async def abandon(self, *, attempted: bool) -> None:
        """Hand back all that is held under our name, see Consumer."""
        if self._consumer is not None:
            await self._consumer.abandon(attempted=attempted)

    def _veiled(self, handout: Handout) -> Handout:
        return replace(
            handout,
            outcomes=veil.outcomes(handout.outcomes),
            failures=veil.failures(handout.failures, self._contributor),
        )

    def _handout(self, delivery: Delivery, failures: Mapping[EntryId, bytes]) -> Handout:
        entry, fields = delivery.entry, delivery.fields
        made = [name for name in fields if name.startswith(OUTCOME_PREFIX)]
        why = failures.get(entry, b"")
        try:
            sample = fields[b"sample"]
            seen = _seen.decode(sample)
            holding = Holding(
                entry=entry,
                stage=self._stage_of[delivery.stream],
                image=fields.get(b"image", entry.encode()).decode(),
                attempt=delivery.attempt,
                passed=tuple(name.removeprefix(OUTCOME_PREFIX).decode() for name in made),
                elsewhere=seen.reference is not UNSET,
                bytes=len(sample) + seen.bytes,
                noted=len(why),
            )
        except (KeyError, ValueError, RecursionError) as exc:
            raise UnreadableRecord(f"Entry {entry} holds no readable sample: {exc}") from exc
        return Handout(holding, sample, tuple(fields[name] for name in made), why)
