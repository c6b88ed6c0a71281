"""Worker: what became of samples goes back to the queue, in small batches off the hot path."""

import asyncio
import logging
import time
from collections.abc import Callable

from caption_flow import traces
from caption_flow.lifecycle import Drain
from caption_flow.logs import about
from caption_flow.model import EntryId, Failure, Lease, Outcomes
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import Deferral, WorkQueue
from caption_flow.retry import Backoff
from caption_flow.worker.mean import Mean
from caption_flow.worker.tuner import BATCH_LEAST

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.03  # how long a settled sample waits for others to go with it: nobody misses it
RETRY_BACKOFF = Backoff(first=0.5, ceiling=30.0)  # of a sample that an engine failed on


class Settler:
    """Collects outcomes, failures and returns, and carries each to the queue once."""

    def __init__(
        self, queue: WorkQueue, *, worker: str, drain: Drain, settled: Callable[[EntryId], None]
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._patience = Patience(drain)
        self._settled = settled
        self._done: list[tuple[Lease, Outcomes]] = []
        self._failed: list[tuple[Lease, Failure]] = []
        self._deferred: list[Deferral] = []
        self._returned: list[Lease] = []
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ending = False
        self.batch = BATCH_LEAST  # samples settled at once, at most
        self.settling = Mean()  # seconds
        self.completed = 0  # visits that gave captions
        self.samples = 0  # that came to their first captions of this worker's
        self.failed = 0
        self.last: tuple[Lease, Failure] | None = None  # that failed, for good or not

    def complete(self, lease: Lease, outcomes: Outcomes) -> None:
        """The sample is captioned, by as many stages as there are outcomes; or is only moved on."""
        self._done.append((lease, outcomes))
        self._wake()

    def fail(self, lease: Lease, reason: str, detail: str) -> None:
        """The sample is given up."""
        sample = lease.sample
        logger.warning("Gave up %s: %s, %s", sample.id, reason, detail, extra=about(sample))
        self._failed.append(self._noted(lease, reason, detail))
        self._wake()

    def defer(self, lease: Lease, reason: str, detail: str) -> None:
        """The sample failed, and may be tried again by anybody, but not at once."""
        delay = RETRY_BACKOFF.delay(lease.spent + 1)
        sample = lease.sample
        logger.warning(
            "Trying %s again in %.1f s: %s", sample.id, delay, detail, extra=about(sample)
        )
        self._deferred.append(Deferral(*self._noted(lease, reason, detail), delay))
        self._wake()

    def decline(self, lease: Lease, reason: str, detail: str, *, delay: float) -> None:
        """The sample is not for us; others may have it after a while, and it was no attempt."""
        why = self.failure(lease, reason, detail, own=False)
        self._deferred.append(Deferral(lease, why, delay))
        self._wake()

    def give_back(self, lease: Lease) -> None:
        """The sample goes back as it was, for anybody at once."""
        self._returned.append(lease)
        self._wake()

    def failure(self, lease: Lease, reason: str, detail: str, *, own: bool = True) -> Failure:
        """Say why the sample failed; not `own`: others beside it may have been to blame."""
        now = time.time()
        return Failure(reason, detail, now, lease.stage, lease.attempt, self._worker, own)

    def _noted(self, lease: Lease, reason: str, detail: str) -> tuple[Lease, Failure]:
        self.last = lease, self.failure(lease, reason, detail)
        return self.last

    async def run(self) -> None:
        """Settle until told to end; what came last is left to `finish`."""
        await self._changed.wait()
        while not self._ending:
            if len(self._done) < self.batch:
                await asyncio.sleep(GATHER_SECONDS)
            await self._settle()
            if not (self._left or self._ending):
                self._changed.clear()
                self._idle.set()
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until the queue knows of all that was settled so far."""
        await self._idle.wait()

    def end(self) -> None:
        """Let `run` end once it has the queue's answer."""
        self._ending = True
        self._changed.set()

    async def finish(self) -> None:
        """Settle what is left, once; what the queue does not take keeps its lease and moves on."""
        try:
            while self._left:
                await self._settle(last=True)
        except Interrupted as exc:
            logger.warning("%s Unsettled samples will be done again by others", exc)

    @property
    def waiting(self) -> int:
        """How many were captioned, and the queue does not know of it yet."""
        return len(self._done)

    @property
    def _left(self) -> bool:
        return bool(self._done or self._failed or self._deferred or self._returned)

    def _wake(self) -> None:
        self._idle.clear()
        self._changed.set()

    async def _settle(self, *, last: bool = False) -> None:
        queue = self._queue
        most = self.batch
        done, failed = self._done[:most], self._failed[:most]
        deferred, returned = self._deferred[:most], self._returned[:most]
        if done:
            begun = traces.now()
            call = lambda: self.settling.of(queue.complete(done))  # noqa: E731 - tried again and again
            answers = await self._patience(call, last=last)
            self._took([lease for lease, _ in done], answers)
            ours = [one for one, is_ours in zip(done, answers, strict=True) if is_ours]
            traces.note("complete", (traces.mark(lease.sample) for lease, _ in ours), begun)
            made = [one for one in ours if one[1]]
            self.completed += len(made)
            self.samples += sum(self._is_first(lease) for lease, _ in made)
            del self._done[: len(done)]
        if failed:
            answers = await self._patience(lambda: queue.fail(failed), last=last)
            self.failed += self._took([lease for lease, _ in failed], answers)
            del self._failed[: len(failed)]
        if deferred:
            await self._patience(lambda: queue.defer(deferred), last=last)
            self._took([d.lease for d in deferred], [True] * len(deferred))
            del self._deferred[: len(deferred)]
        if returned:
            await self._patience(lambda: queue.release(returned), last=last)
            self._took(returned, [True] * len(returned))
            del self._returned[: len(returned)]

    def _is_first(self, lease: Lease) -> bool:
        return all(outcome.worker != self._worker for outcome in lease.outcomes)

    def _took(self, leases: list[Lease], answers: list[bool]) -> int:
        for lease, ours in zip(leases, answers, strict=True):
            self._settled(lease.entry)
            if not ours:
                logger.warning(
                    "%s is settled already, or another worker has it",
                    lease.sample.id,
                    extra=about(lease.sample),
                )
        return sum(answers)
