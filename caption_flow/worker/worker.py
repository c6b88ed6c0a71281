"""Worker: samples become captions.

Claims ahead of the engine and feeds it sample by sample, so that it never waits while a sample
does. Four tasks share the work: claiming, fetching and captioning, settling, renewing.
"""

import asyncio
import logging

from caption_flow.errors import BadImage, EngineDead, EngineFailed
from caption_flow.keeper import Keeper
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import EntryId, Lease
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import WorkQueue
from caption_flow.worker.caption import Captioner
from caption_flow.worker.fetch import Fetcher
from caption_flow.worker.meter import Meter
from caption_flow.worker.settle import Settler

logger = logging.getLogger(__name__)

AHEAD_LEAST = 16  # samples claimed ahead of the engine, at least
CLAIM_SHARE = 4  # claim when this part of what may be ahead is missing: fewer, fuller claims
FETCHES = 2  # at once: while one group is parsed, the next is on its way
SPACE_SECONDS = 0.5  # between two looks at whether to drain while there is no space


class Hand:
    """A sample in the worker's hands."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.task: asyncio.Task[None] | None = None
        self.begun = False  # the engine has seen it
        self.inside = False  # being captioned, or captioned and not settled yet

    @property
    def is_settling(self) -> bool:
        """Nothing is left to do but to tell the queue, whose answer says if it is still ours."""
        return self.task.done() if self.task is not None else self.inside


class Worker:
    """One worker with one engine."""

    def __init__(
        self,
        queue: WorkQueue,
        captioner: Captioner,
        meter: Meter,
        *,
        name: str,
        capacity: int,
        max_attempts: int,
        lease_seconds: float,
        drain: Drain,
        drain_timeout: float,
        exit_when_done: bool,
    ) -> None:
        self._queue = queue
        self._captioner = captioner
        self._meter = meter
        self._max_attempts = max_attempts
        self._drain = drain
        self._drain_timeout = drain_timeout
        self._exit_when_done = exit_when_done
        self._ahead = max(AHEAD_LEAST, capacity)
        self._limit = capacity + self._ahead
        self._patience = Patience(drain)
        self._keeper = Keeper(self._renew, lease_seconds)
        self._fetcher = Fetcher(queue, self._patience)
        self.settler = Settler(queue, worker=name, drain=drain, settled=self._forget)
        self._hands: dict[EntryId, Hand] = {}
        self._space = asyncio.Event()
        self._death: EngineDead | None = None

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        free, idle = self._meter.shares()
        return {
            "captions": self.settler.completed,
            "failed": self.settler.failed,
            "in_hand": len(self._hands),
            "free_share": free,
            "idle_share": idle,
        }

    async def run(self) -> None:
        """Caption until asked to drain, until the job is done, or until the engine dies."""
        fetching = [asyncio.create_task(self._fetch()) for _ in range(FETCHES)]
        settling = asyncio.create_task(self.settler.run(), name="settle")
        try:
            async with self._keeper:
                await self._claim_until_over(*fetching, settling)
                await self._finish(settling)
        finally:
            await cancel(*fetching, settling)
            self._captioner.close()
        if self._death is not None:
            raise self._death

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
            return len(self._hands) < self._limit
        return True

    async def _is_over(self) -> bool:
        if not self._exit_when_done or self._hands:
            return False
        return (await self._patience(self._queue.counts)).captions_done

    def _take(self, leases: list[Lease]) -> None:
        fit = []
        for lease in leases:
            self._hands[lease.entry] = hand = Hand(lease)
            if lease.attempt > self._max_attempts:
                hand.inside = True
                times = lease.attempt - 1
                self.settler.fail(lease, "gave_up", f"claimed {times} times, never captioned")
            else:
                fit.append(lease)
        self._meter.wait(len(fit))
        self._fetcher.want(fit)

    async def _fetch(self) -> None:
        async for lease, data in self._fetcher.fetched():
            hand = self._hands.get(lease.entry)
            if hand is None or hand.lease is not lease:  # handed back or lost meanwhile
                self._fetcher.drop(lease.entry)
            elif data is None:
                self._enter(hand)
                self._fetcher.drop(lease.entry)
                self.settler.fail(lease, "image_gone", "its image is not in Redis any more")
            else:
                hand.task = asyncio.create_task(self._work(hand, data))

    async def _work(self, hand: Hand, data: bytes) -> None:
        lease = hand.lease
        try:
            outcome = await self._captioner.caption(lease, data, lambda: self._begin(hand))
        except BadImage as exc:
            self.settler.fail(lease, exc.reason, exc.detail)
        except EngineFailed as exc:
            self._retry(lease, "engine", str(exc))
        except EngineDead as exc:
            self._death = exc
            self._drain.ask()
        except Exception as exc:
            # Around one sample: left alone it would be renewed for ever, and the job never end.
            self._retry(lease, "error", f"{type(exc).__name__}: {exc}")
        else:
            self._meter.captions += 1
            self.settler.complete(lease, outcome)
        finally:
            self._enter(hand)
            self._fetcher.drop(lease.entry)

    def _begin(self, hand: Hand) -> None:
        hand.begun = True
        self._enter(hand)

    def _enter(self, hand: Hand) -> None:
        """Note that a sample waits no longer."""
        if not hand.inside:
            hand.inside = True
            self._meter.wait(-1)

    def _retry(self, lease: Lease, reason: str, detail: str) -> None:
        if lease.attempt >= self._max_attempts:
            self.settler.fail(lease, reason, detail)
        else:
            logger.warning("Trying %s again: %s", lease.sample.id, detail)
            self.settler.again(lease)

    def _forget(self, entry: EntryId) -> None:
        self._hands.pop(entry, None)
        self._space.set()

    async def _renew(self) -> None:
        lost = await self._queue.renew([hand.lease for hand in self._hands.values()])
        for entry in lost:
            hand = self._hands.get(entry)
            if hand is None or hand.is_settling:
                continue
            del self._hands[entry]
            logger.warning("Lost the lease on %s; dropping it", hand.lease.sample.id)
            if hand.task is not None:
                hand.task.cancel()
            self._enter(hand)
        self._space.set()

    async def _finish(self, settling: "asyncio.Task[None]") -> None:
        """Hand back what is not begun, wait for what runs, settle, hand back the rest."""
        await self._hand_back([hand for hand in self._hands.values() if not hand.inside])
        running = [hand.task for hand in self._hands.values() if hand.task is not None]
        if running and self._death is None:
            logger.info("Finishing %d samples", len(running))
            await asyncio.wait(running, timeout=self._drain_timeout)
        # Not cancelled: a command cut short may be done or not, and would have to be repeated.
        self.settler.end()
        await asyncio.gather(settling, return_exceptions=True)
        await self.settler.finish()
        if self._death is not None:  # one of these may have killed the engine
            begun = [hand for hand in self._hands.values() if hand.begun]
            await self._hand_back(begun, attempted=True)
        await self._hand_back(list(self._hands.values()))

    async def _hand_back(self, hands: list[Hand], *, attempted: bool = False) -> None:
        for hand in hands:
            if hand.task is not None:
                hand.task.cancel()
            del self._hands[hand.lease.entry]
        leases = [hand.lease for hand in hands]
        if not leases:
            return
        try:
            await self._patience(
                lambda: self._queue.release(leases, attempted=attempted), last=True
            )
            logger.info("Handed back %d samples", len(leases))
        except Interrupted as exc:
            logger.warning("%s Their leases will run out", exc)
