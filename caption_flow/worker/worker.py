"""Worker: samples become captions.

Claims ahead of the engine and feeds it sample by sample, so that it never waits while a sample
does. Five tasks share the work: claiming, fetching, settling, renewing, and looking how much of
each is done at once. Each sample makes its visit to the engine in a task of its own.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from caption_flow.keeper import Keeper
from caption_flow.lifecycle import Drain, cancel
from caption_flow.logs import about
from caption_flow.model import Failure, Lease
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import Deferral, WorkQueue
from caption_flow.worker.caption import Captioner
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.declines import Declines
from caption_flow.worker.duty import Duty, shown
from caption_flow.worker.fetch import Fetcher
from caption_flow.worker.hand import ENGINE_DIED, Hand
from caption_flow.worker.hands import Hands
from caption_flow.worker.held import Held
from caption_flow.worker.mean import Mean
from caption_flow.worker.meter import Meter
from caption_flow.worker.pace import Means, Pace
from caption_flow.worker.references import References
from caption_flow.worker.settle import Settler
from caption_flow.worker.tuner import Chosen, Tuner
from caption_flow.worker.visits import Visits

logger = logging.getLogger(__name__)

REST_SECONDS = 0.2  # between two looks whether a rest is over
PAUSE_SECONDS = 0.1  # between two looks whether a pause is over


class Worker:
    """Serves the stages that share one engine."""

    def __init__(
        self,
        queue: WorkQueue,
        engine: Caretaker,
        captioner: Captioner,
        meter: Meter,
        references: References,
        *,
        duty: Duty,
        name: str,
        lease_seconds: float,
        drain: Drain,
        drain_timeout: float,
        exit_when_done: bool,
        paused: Callable[[], bool],
        of_others: bool = False,
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._captioner = captioner
        self._meter = meter
        self._duty = duty
        self._lease_seconds = lease_seconds
        self._drain = drain
        self._drain_timeout = drain_timeout
        self._exit_when_done = exit_when_done
        self._paused = paused
        self._declines = Declines(of_others=of_others)
        self._patience = Patience(drain)
        tuner = Tuner(capacity=engine.capacity, most=engine.holds)
        self._hands = Hands(
            meter,
            tuner.chosen,
            downloads=references.at_once,
            settling=lambda: self.settler.waiting,
        )
        self._keeper = Keeper(
            queue.renewals, held=self._hands.leases, lost=self._drop, lease_seconds=lease_seconds
        )
        self._images = Held()
        self._fetcher = Fetcher(queue, self._patience, self._images)
        self.settler = Settler(queue, worker=name, drain=drain, settled=self._hands.forget)
        self._claiming = Mean()  # seconds
        self._pace = Pace(
            tuner,
            Means(
                claim=self._claiming,
                fetch=self._fetcher.fetching,
                prepare=captioner.preparing,
                settle=self.settler.settling,
                image=self._fetcher.size,
            ),
            preparers=lambda: engine.preparers,
        )
        self._fetching: list[asyncio.Task[None]] = []
        self._visits = Visits(
            queue,
            captioner,
            references,
            self.settler,
            duty=duty,
            hands=self._hands,
            images=self._images,
            meter=meter,
            declines=self._declines,
            lease_seconds=lease_seconds,
            drain=drain,
        )

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        free, idle = self._meter.shares()
        free_lately, idle_lately = self._meter.lately()
        chosen = self._pace.chosen
        return {
            "samples": self.settler.samples,
            "captions": self.settler.completed,
            "failed": self.settler.failed,
            "declined": self._declines.count,
            "images": self._meter.images,
            "in_hand": len(self._hands),
            "coming": self._hands.coming,
            # None while the engine is started again: whoever looks would take them for full.
            "slots": self._meter.capacity if self._engine.up else 0,
            "running": min(self._meter.inside, self._meter.capacity),
            "engine_deaths": self._engine.deaths,
            "free_share": free,
            "idle_share": idle,
            "free_lately": free_lately,
            "idle_lately": idle_lately,
            "claim_ahead": chosen.claim_ahead,
            "in_flight": chosen.in_flight,
            "complete_batch": chosen.complete_batch,
            "preparers": self._engine.preparers,
        }

    @property
    def last(self) -> tuple[Lease, Failure] | None:
        """What failed last, and why."""
        return self.settler.last

    @property
    def declining(self) -> str:
        """Say what keeps us from all samples that come; "" where nothing does."""
        return self._declines.why

    async def adopt(self, duty: Duty) -> None:
        """Work by other settings from the next visit on."""
        self._duty = self._visits.duty = duty
        await self._queue.serve(
            duty.order,
            lease_seconds=self._lease_seconds,
            only=tuple(duty.stages),
            former=duty.former,
        )

    async def run(self) -> None:
        """Caption until asked to drain, until the job is done, or until the engine is gone."""
        await self.adopt(self._duty)
        settling = asyncio.create_task(self.settler.run(), name="settle")
        pacing = asyncio.create_task(self._pace.run(self._left, self._choose), name="pace")
        try:
            async with self._keeper, self._engine:
                await self._claim_until_over(settling, pacing)
                await self._finish(settling)
        finally:
            await cancel(*self._fetching, settling, pacing)
            self._captioner.close()
        if end := self._engine.gone or self._visits.cut_off:
            raise end

    def _left(self) -> tuple[int, int]:
        return self._meter.left, self._hands.gone

    def _choose(self, chosen: Chosen) -> None:
        """Do so much at once from now on; who fetches stays, since a wait costs nothing."""
        self._hands.chosen = chosen
        self._captioner.resize(chosen.in_flight)
        self.settler.batch = chosen.complete_batch
        while len(self._fetching) < chosen.fetches:
            self._fetching.append(asyncio.create_task(self._fetch()))

    async def _claim_until_over(self, *helpers: "asyncio.Task[None]") -> None:
        try:
            while not self._drain.asked:
                for helper in (*helpers, *self._fetching):
                    if helper.done():
                        helper.result()
                if not await self._hands.has_space():
                    continue
                if self._declines.resting:
                    await self._drain.wait(REST_SECONDS)
                    continue
                leases = await self._claim()
                for lease in leases:
                    self._take(lease)
                if not leases and await self._is_over():
                    break
        except Interrupted as exc:
            logger.warning("%s", exc)

    async def _claim(self) -> list[Lease]:
        """Claim for all space there is; nothing in a pause, in which what is in hand is done."""
        wanted = self._hands.free
        if not self._paused():
            leases = await self._patience(lambda: self._claim_new(wanted))
            self._meter.more(elsewhere=len(leases) >= wanted)
            return leases
        self._meter.more(elsewhere=False)
        leases = await self._patience(lambda: self._queue.claim(wanted, new=False))
        if not leases:
            await self._drain.wait(PAUSE_SECONDS)
        return leases

    async def _claim_new(self, wanted: int) -> list[Lease]:
        begun = time.monotonic()
        leases = await self._queue.claim(wanted)
        if leases:
            self._claiming.note(time.monotonic() - begun)
        return leases

    async def _is_over(self) -> bool:
        if not self._exit_when_done or len(self._hands):
            return False
        return (await self._patience(self._queue.counts)).captions_done

    def _take(self, lease: Lease) -> None:
        hand = self._hands.take(lease, shown=shown(self._duty.ahead(lease.outcomes)))
        if lease.spent >= self._duty.max_attempts:
            self._hands.enter(hand)
            last = lease.failures[-1]
            self.settler.fail(lease, last.reason, last.detail)
        elif hand.shown and not hand.coming:
            self._fetcher.want([lease])
        else:
            self._visits.begin(hand)

    async def _fetch(self) -> None:
        async for lease, data in self._fetcher.fetched():
            hand = self._hands.of(lease)
            if hand is None:
                self._images.drop(lease.entry)
            elif data is None:
                self._hands.enter(hand)
                self._images.drop(lease.entry)
                self.settler.fail(lease, "image_gone", "its image is not in Redis any more")
            else:
                self._meter.images += 1
                self._visits.begin(hand, data)

    def _drop(self, lost: list[Lease]) -> None:
        """Do no more for samples that are another's."""
        for lease in lost:
            hand = self._hands.of(lease)
            if hand is None or hand.is_settling:
                continue
            sample = lease.sample
            logger.warning("Lost the lease on %s; dropping it", sample.id, extra=about(sample))
            self._queue.drop([lease])
            self._images.drop(lease.entry)  # its task may not have begun
            self._hands.drop([hand])

    async def _finish(self, settling: "asyncio.Task[None]") -> None:
        """Hand back what is not begun, wait for what runs, settle, hand back the rest."""
        await self._hand_back([hand for hand in self._hands.all() if not hand.inside])
        running = [hand.task for hand in self._hands.all() if hand.task is not None]
        if running and self._engine.gone is None:
            logger.info("Finishing %d samples", len(running))
            await asyncio.wait(running, timeout=self._drain.left(self._drain_timeout))
        # Not cancelled: a command cut short may be done or not, and would have to be repeated.
        self.settler.end()
        await asyncio.gather(settling, return_exceptions=True)
        await self.settler.finish()
        await self._hand_back(self._hands.all())

    async def _hand_back(self, hands: list[Hand]) -> None:
        self._hands.drop(hands)
        if not hands:
            return
        unmarked = [hand.lease for hand in hands if hand.witnessed is None]
        suspects = list(self._suspects(hands))
        try:
            await self._patience(lambda: self._queue.release(unmarked), last=True)
            await self._patience(lambda: self._queue.defer(suspects), last=True)
            logger.info("Handed back %d samples", len(hands))
        except Interrupted as exc:
            logger.warning("%s Their leases will run out", exc)

    def _suspects(self, hands: Iterable[Hand]) -> Iterable[Deferral]:
        """Tell who has them next to try them alone; it was no attempt of theirs."""
        for hand in hands:
            if hand.witnessed is not None:
                why = self.settler.failure(hand.lease, ENGINE_DIED, hand.witnessed, own=False)
                yield Deferral(hand.lease, why, delay=0.0)
