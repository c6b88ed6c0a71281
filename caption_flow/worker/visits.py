"""Worker: what is done for each sample in hand, from its image to what the queue is told of it.

Each sample has a task of its own. One that was inside when an engine died goes in once more, alone.
"""

import asyncio
import logging

from msgspec import UNSET

from caption_flow import traces
from caption_flow.errors import CutOff, EngineDead, EngineGone
from caption_flow.lifecycle import Drain
from caption_flow.logs import about
from caption_flow.model import WORKER_DIED, Outcomes
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import WorkQueue
from caption_flow.worker.caption import Captioner, Unshown
from caption_flow.worker.declines import Declines
from caption_flow.worker.duty import Duty, Visit
from caption_flow.worker.hand import Hand
from caption_flow.worker.hands import Hands
from caption_flow.worker.held import Download, Held
from caption_flow.worker.meter import Meter
from caption_flow.worker.references import References
from caption_flow.worker.settle import Settler
from caption_flow.worker.verdict import verdict

logger = logging.getLogger(__name__)


class Visits:
    """Begins visits, by the duty that is set when each begins, and settles what came of them."""

    def __init__(
        self,
        queue: WorkQueue,
        captioner: Captioner,
        references: References,
        settler: Settler,
        *,
        duty: Duty,
        hands: Hands,
        images: Held,
        meter: Meter,
        declines: Declines,
        lease_seconds: float,
        drain: Drain,
    ) -> None:
        self.duty = duty
        self.cut_off: CutOff | None = None
        self._queue = queue
        self._captioner = captioner
        self._references = references
        self._settler = settler
        self._hands = hands
        self._images = images
        self._meter = meter
        self._declines = declines
        self._lease_seconds = lease_seconds
        self._drain = drain
        self._patience = Patience(drain)

    def begin(self, hand: Hand, data: bytes | None = None) -> None:
        """Let a sample make its visit; `data`: its image, where it lay in the queue."""
        if not self.duty.ahead(hand.lease.outcomes):
            self._hands.enter(hand)
            self._complete(hand)
        else:
            hand.task = asyncio.create_task(self._run(hand, data))

    async def _run(self, hand: Hand, data: bytes | None) -> None:
        try:
            self._declines.check(hand.lease.sample)
            with traces.span("visit", hand.lease.sample, stage=hand.lease.stage):
                image = await self._read(hand) if hand.coming else data
                await self._visit(hand, image)
            self._complete(hand)
        except (EngineGone, Interrupted):
            self._leave(hand)
        except Unshown:  # the settings are others than when it was claimed
            self._settler.give_back(hand.lease)
        except CutOff as exc:
            if not self._decline(hand, exc):
                self.cut_off = exc
                self._drain.ask()
        except Exception as exc:  # of any kind: it is one sample that failed
            self._fail(hand, exc)
        finally:
            self._hands.enter(hand)
            self._images.drop(hand.lease.entry)

    async def _read(self, hand: Hand) -> bytes:
        """Fetch an image from where it lies."""
        assert hand.reference is not UNSET  # noqa: S101 - for mypy
        share = Download(self._images, hand.lease.entry)
        image = await self._references.read(hand.reference, share)
        self._meter.images += 1
        self._hands.arrive(hand)
        return image

    async def _visit(self, hand: Hand, data: bytes | None) -> None:
        """Pass the engine; once more and alone, when it died with the sample and others inside."""
        while True:
            alone = hand.suspect
            try:
                async with self._captioner.admitted(alone=alone):
                    await self._note_in_advance(hand)
                    hand.visit = hand.visit or Visit(hand.lease, self.duty)
                    await self._captioner.lead(hand.visit, data, lambda: self._hands.enter(hand))
            except EngineDead as exc:
                if alone:
                    raise
                hand.suspect, hand.witnessed = True, str(exc)
                self._hands.leave(hand)
            else:
                return

    async def _note_in_advance(self, hand: Hand) -> None:
        """Note what an orphan will have done if it takes us with it: nobody else could tell."""
        if hand.orphan:
            # Who was captioned just now shall not go with us, and be tried again for it.
            await self._settler.idle()
            why = self._settler.failure(
                hand.lease, WORKER_DIED, "its worker died with this sample alone in its hands"
            )
            await self._patience(lambda: self._queue.suspect(hand.lease, why))
            logger.info(
                "Trying %s alone: %d workers were not heard of again while they had it",
                hand.lease.sample.id,
                hand.lease.orphaned,
                extra=about(hand.lease.sample),
            )

    def _complete(self, hand: Hand) -> None:
        """Settle what was made; nothing was where the sample waited in a stage that is not ours."""
        if _made(hand):
            self._declines.captioned()
        self._settler.complete(hand.lease, _made(hand))

    def _leave(self, hand: Hand) -> None:
        """Leave what is left of a visit to another worker; a suspect stays where it was claimed."""
        if _made(hand) and hand.witnessed is None:
            self._complete(hand)
        else:
            sample = hand.lease.sample
            logger.debug("Left %s to another worker", sample.id, extra=about(sample))

    def _decline(self, hand: Hand, exc: Exception) -> bool:
        """Hand a sample back where it is we who fail, not it; False where that is not so."""
        if not self._declines.takes(hand.lease, exc):
            return False
        why = verdict(exc)
        # A whole lease is the longest that the queue can keep a sample from being claimed.
        delay, detail = self._lease_seconds, self._declines.detail(exc, why.detail)
        self._settler.decline(hand.lease, why.reason, detail, delay=delay)
        return True

    def _fail(self, hand: Hand, exc: Exception) -> None:
        """Settle a failure; one of a later stage is that stage's, where the sample goes first."""
        if _made(hand) and not isinstance(exc, EngineDead):
            stage = hand.visit and hand.visit.stage
            name = stage.name if stage else ""
            sample = hand.lease.sample
            logger.warning(
                "Moving %s on to %s, which failed: %s", sample.id, name, exc, extra=about(sample)
            )
            self._complete(hand)
            return
        if self._decline(hand, exc):
            return
        why = verdict(exc)
        again = why.again and hand.lease.spent + 1 < self.duty.max_attempts
        settle = self._settler.defer if again else self._settler.fail
        settle(hand.lease, why.reason, why.detail)


def _made(hand: Hand) -> Outcomes:
    return () if hand.visit is None else tuple(hand.visit.made)
