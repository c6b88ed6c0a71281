"""Worker: samples become captions.

Claims ahead of the engine and feeds it sample by sample, so that it never waits while a sample
does. Four tasks share the work: claiming, fetching and captioning, settling, renewing. A sample
that refers to an image elsewhere is fetched and captioned by a task of its own.
"""

import asyncio
import logging
from collections.abc import Iterable

from msgspec import UNSET

from caption_flow.errors import CutOff, EngineDead, EngineGone
from caption_flow.keeper import Keeper
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import WORKER_DIED, EntryId, Lease, Outcome
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import Deferral, WorkQueue
from caption_flow.worker.caption import Captioner
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.fetch import Fetcher
from caption_flow.worker.hand import ENGINE_DIED, Hand
from caption_flow.worker.held import Download, Held
from caption_flow.worker.meter import Meter
from caption_flow.worker.references import References
from caption_flow.worker.settle import Settler
from caption_flow.worker.verdict import verdict

logger = logging.getLogger(__name__)

AHEAD_LEAST = 16  # samples claimed ahead of the engine, at least
CLAIM_SHARE = 4  # claim when this part of what may be ahead is missing: fewer, fuller claims
FETCHES = 2  # at once: while one group is parsed, the next is on its way
SPACE_SECONDS = 0.5  # between two looks at whether to drain while there is no space


class Worker:
    """One worker with one engine."""

    def __init__(
        self,
        queue: WorkQueue,
        engine: Caretaker,
        captioner: Captioner,
        meter: Meter,
        references: References,
        *,
        name: str,
        max_attempts: int,
        lease_seconds: float,
        drain: Drain,
        drain_timeout: float,
        exit_when_done: bool,
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._captioner = captioner
        self._meter = meter
        self._max_attempts = max_attempts
        self._drain = drain
        self._drain_timeout = drain_timeout
        self._exit_when_done = exit_when_done
        self._ahead = max(AHEAD_LEAST, engine.capacity)
        self._most_coming = max(engine.capacity, references.at_once)
        self._patience = Patience(drain)
        self._keeper = Keeper(
            queue.renewals, held=self._held, lost=self._drop, lease_seconds=lease_seconds
        )
        self._held_images = Held()
        self._fetcher = Fetcher(queue, self._patience, self._held_images)
        self._references = references
        self._cut_off: CutOff | None = None
        self.settler = Settler(queue, worker=name, drain=drain, settled=self._forget)
        self._hands: dict[EntryId, Hand] = {}
        self._space = asyncio.Event()

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        free, idle = self._meter.shares()
        return {
            "captions": self.settler.completed,
            "failed": self.settler.failed,
            "in_hand": len(self._hands),
            "engine_deaths": self._engine.deaths,
            "free_share": free,
            "idle_share": idle,
        }

    async def run(self) -> None:
        """Caption until asked to drain, until the job is done, or until the engine is gone."""
        fetching = [asyncio.create_task(self._fetch()) for _ in range(FETCHES)]
        settling = asyncio.create_task(self.settler.run(), name="settle")
        try:
            async with self._keeper, self._engine:
                await self._claim_until_over(*fetching, settling)
                await self._finish(settling)
        finally:
            await cancel(*fetching, settling)
            self._captioner.close()
        if end := self._engine.gone or self._cut_off:
            raise end

    @property
    def _limit(self) -> int:
        """How many samples may be in hand.

        A download takes seconds where the queue takes milliseconds: those whose images are on
        their way come on top, as many as are downloaded at once, so that enough others are there.
        """
        coming = sum(hand.coming for hand in self._hands.values())
        return self._engine.capacity + self._ahead + min(coming, self._most_coming)

    async def _claim_until_over(self, *helpers: "asyncio.Task[None]") -> None:
        try:
            while not self._drain.asked:
                for helper in helpers:
                    if helper.done():
                        helper.result()
                if not await self._has_space():
                    continue
                wanted = self._limit - len(self._hands)
                leases = await self._patience(lambda n=wanted: self._queue.claim(n))  # type: ignore[misc]
                self._take(leases)
                if not leases and await self._is_over():
                    break
        except Interrupted as exc:
            logger.warning("%s", exc)

    async def _has_space(self) -> bool:
        """Wait for space worth a claim, a moment at most."""
        if self._limit - len(self._hands) >= self._ahead // CLAIM_SHARE:
            return True
        self._space.clear()
        try:
            async with asyncio.timeout(SPACE_SECONDS):
                await self._space.wait()
        except TimeoutError:
            pass
        return len(self._hands) < self._limit

    async def _is_over(self) -> bool:
        if not self._exit_when_done or self._hands:
            return False
        return (await self._patience(self._queue.counts)).captions_done

    def _take(self, leases: list[Lease]) -> None:
        fit = []
        for lease in leases:
            self._hands[lease.entry] = hand = Hand(lease)
            if lease.spent >= self._max_attempts:
                hand.inside = True
                last = lease.failures[-1]
                self.settler.fail(lease, last.reason, last.detail)
            else:
                fit.append(hand)
        near = [hand.lease for hand in fit if not hand.coming]
        self._meter.wait(len(near))
        self._fetcher.want(near)
        for hand in fit:
            if hand.coming:
                hand.task = asyncio.create_task(self._work(hand))

    async def _fetch(self) -> None:
        async for lease, data in self._fetcher.fetched():
            hand = self._hands.get(lease.entry)
            if hand is None or hand.lease is not lease:  # handed back or lost meanwhile
                self._held_images.drop(lease.entry)
            elif data is None:
                self._enter(hand)
                self._held_images.drop(lease.entry)
                self.settler.fail(lease, "image_gone", "its image is not in Redis any more")
            else:
                hand.task = asyncio.create_task(self._work(hand, data))

    async def _work(self, hand: Hand, data: bytes | None = None) -> None:
        lease = hand.lease
        try:
            image = await self._read(hand) if data is None else data
            outcome = await self._caption(hand, image)
        except (EngineGone, Interrupted):
            logger.debug("Left %s to another worker", lease.sample.id)
        except CutOff as exc:
            self._cut_off = exc
            self._drain.ask()
        except Exception as exc:  # of any kind: it is one sample that failed
            self._give_up(lease, exc)
        else:
            self._meter.captions += 1
            self.settler.complete(lease, (outcome,))
        finally:
            self._enter(hand)
            self._held_images.drop(lease.entry)

    async def _read(self, hand: Hand) -> bytes:
        """Fetch an image from where it lies; only then does its sample wait for the engine."""
        assert hand.reference is not UNSET  # noqa: S101 - for mypy
        share = Download(self._held_images, hand.lease.entry)
        image = await self._references.read(hand.reference, share)
        hand.coming = False
        self._meter.wait(1)
        return image

    async def _caption(self, hand: Hand, data: bytes) -> Outcome:
        """Caption a sample; once more and alone, when an engine died with it and others inside."""
        while True:
            alone = hand.suspect
            try:
                return await self._captioner.caption(
                    hand.lease,
                    data,
                    alone=alone,
                    admitted=lambda: self._note_in_advance(hand),
                    entered=lambda: self._enter(hand),
                )
            except EngineDead as exc:
                if alone:
                    raise
                hand.suspect, hand.witnessed = True, str(exc)
                self._leave(hand)

    async def _note_in_advance(self, hand: Hand) -> None:
        """Note what an orphan will have done if it takes us with it: nobody else could tell."""
        if hand.orphan:
            # Who was captioned just now shall not go with us, and be tried again for it.
            await self.settler.idle()
            why = self.settler.failure(
                hand.lease, WORKER_DIED, "its worker died with this sample alone in its hands"
            )
            await self._patience(lambda: self._queue.suspect(hand.lease, why))
            logger.info(
                "Trying %s alone: %d workers were not heard of again while they had it",
                hand.lease.sample.id,
                hand.lease.orphaned,
            )

    def _enter(self, hand: Hand) -> None:
        """Note that a sample waits no longer."""
        if not hand.inside:
            hand.inside = True
            if not hand.coming:
                self._meter.wait(-1)

    def _leave(self, hand: Hand) -> None:
        """Note that a sample waits again."""
        if hand.inside:
            hand.inside = False
            self._meter.wait(1)

    def _give_up(self, lease: Lease, exc: Exception) -> None:
        """Give a sample up, for now where another attempt may help and it has one left."""
        why = verdict(exc)
        again = why.again and lease.spent + 1 < self._max_attempts
        settle = self.settler.defer if again else self.settler.fail
        settle(lease, why.reason, why.detail)

    def _forget(self, entry: EntryId) -> None:
        self._hands.pop(entry, None)
        self._space.set()

    def _held(self) -> list[Lease]:
        return [hand.lease for hand in tuple(self._hands.values())]

    def _drop(self, lost: list[Lease]) -> None:
        """Do no more for samples that are another's."""
        for lease in lost:
            hand = self._hands.get(lease.entry)
            if hand is None or hand.lease is not lease or hand.is_settling:
                continue
            del self._hands[lease.entry]
            self._queue.drop([lease])
            self._held_images.drop(lease.entry)  # its task may not have begun
            logger.warning("Lost the lease on %s; dropping it", hand.lease.sample.id)
            if hand.task is not None:
                hand.task.cancel()
            self._enter(hand)
        self._space.set()

    async def _finish(self, settling: "asyncio.Task[None]") -> None:
        """Hand back what is not begun, wait for what runs, settle, hand back the rest."""
        await self._hand_back([hand for hand in self._hands.values() if not hand.inside])
        running = [hand.task for hand in self._hands.values() if hand.task is not None]
        if running and self._engine.gone is None:
            logger.info("Finishing %d samples", len(running))
            await asyncio.wait(running, timeout=self._drain_timeout)
        # Not cancelled: a command cut short may be done or not, and would have to be repeated.
        self.settler.end()
        await asyncio.gather(settling, return_exceptions=True)
        await self.settler.finish()
        await self._hand_back(list(self._hands.values()))

    async def _hand_back(self, hands: list[Hand]) -> None:
        for hand in hands:
            if hand.task is not None:
                hand.task.cancel()
            del self._hands[hand.lease.entry]
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
