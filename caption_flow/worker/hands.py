"""Worker: all samples in its hands, how many there may be, and which wait for the engine."""

import asyncio
from collections.abc import Callable, Iterable

from caption_flow.model import EntryId, Lease
from caption_flow.worker.hand import Hand
from caption_flow.worker.meter import Meter
from caption_flow.worker.tuner import Chosen

CLAIM_SHARE = 4  # claim when this part of what may be ahead is missing: fewer, fuller claims
SPACE_SECONDS = 0.5  # between two looks at whether to drain while there is no space


class Hands:
    """The samples, each from its claim to its settlement."""

    def __init__(
        self,
        meter: Meter,
        chosen: Chosen,
        *,
        downloads: int,
        settling: Callable[[], int] = lambda: 0,
    ) -> None:
        """`settling` tells how many are captioned and wait for the queue to hear of it."""
        self.chosen = chosen
        self.gone = 0  # samples that were in hand, so far
        self.coming = 0  # samples in hand whose image is on its way
        self._meter = meter
        self._most_coming = max(meter.capacity, downloads)
        self._settling = settling
        self._hands: dict[EntryId, Hand] = {}
        self._space = asyncio.Event()

    def __len__(self) -> int:
        return len(self._hands)

    @property
    def free(self) -> int:
        """How many more samples may be in hand.

        A download takes seconds where the queue takes milliseconds: those whose images are on
        their way come on top, as many as are downloaded at once, so that enough others are there.
        """
        coming = min(self.coming, self._most_coming)
        # The engine needs the next ones however slow the queue is to hear of the last.
        settling = min(self._settling(), self.chosen.complete_batch)
        wanted = self.chosen.in_flight + self.chosen.claim_ahead
        return wanted + coming + settling - len(self._hands)

    async def has_space(self) -> bool:
        """Wait for space worth a claim, a moment at most."""
        if self.free >= max(1, self.chosen.claim_ahead // CLAIM_SHARE):
            return True
        self._space.clear()
        try:
            async with asyncio.timeout(SPACE_SECONDS):
                await self._space.wait()
        except TimeoutError:
            pass
        return self.free > 0

    def take(self, lease: Lease, *, shown: bool) -> Hand:
        """Have a sample in hand that waits for the engine, or for its image first."""
        self._hands[lease.entry] = hand = Hand(lease, shown=shown)
        if hand.coming:
            self.coming += 1
        else:
            self._meter.wait(1)
        return hand

    def of(self, lease: Lease) -> Hand | None:
        """Find the hand that a lease is in; None: it was handed back or lost meanwhile."""
        hand = self._hands.get(lease.entry)
        return hand if hand is not None and hand.lease is lease else None

    def all(self) -> list[Hand]:
        """All hands; may be called in another thread."""
        return list(self._hands.values())

    def leases(self) -> list[Lease]:
        """All that is in hand; may be called in another thread."""
        return [hand.lease for hand in self.all()]

    def arrive(self, hand: Hand) -> None:
        """Note that the image of a sample has come; only now does it wait for the engine."""
        if hand is self._hands.get(hand.lease.entry):
            self.coming -= 1
        hand.coming = False
        self._meter.wait(1)

    def enter(self, hand: Hand) -> None:
        """Note that a sample waits no longer."""
        if not hand.inside:
            hand.inside = True
            if not hand.coming:
                self._meter.wait(-1)

    def leave(self, hand: Hand) -> None:
        """Note that a sample waits again."""
        if hand.inside:
            hand.inside = False
            self._meter.wait(1)

    def drop(self, hands: Iterable[Hand]) -> None:
        """Have samples in hand no more, whatever is being done with them."""
        for hand in hands:
            if hand.task is not None:
                hand.task.cancel()
            self.enter(hand)
            self.forget(hand.lease.entry)

    def forget(self, entry: EntryId) -> None:
        """Have a sample in hand no more."""
        hand = self._hands.pop(entry, None)
        if hand is not None:
            self.gone += 1
            self.coming -= hand.coming
        self._space.set()
