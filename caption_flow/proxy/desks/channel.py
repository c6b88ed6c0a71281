"""Proxy, one channel of a worker: what it serves and holds, and what is claimed on its credit."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from caption_flow.errors import CaptionFlowError
from caption_flow.model import EntryId, Failure, following
from caption_flow.proxy.desks.images import Images
from caption_flow.proxy.view import Known
from caption_flow.queue.relay import Handout, Holding
from caption_flow.retry import Backoff
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.frames import (
    MOST_HEAD,
    MOST_SAMPLES,
    Credit,
    Fetch,
    Notice,
    SampleSent,
    Serve,
)

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

MOST_CLAIMED = 32  # samples at a time; then others have their turn
MOST_HELD = 4 * MOST_SAMPLES  # over a connection: beyond that, none is claimed for it
MOST_PAST = 2 * MOST_SAMPLES  # over a connection that are known to have been held
_FRAME_BYTES = 1024  # of a frame, but for what it says of its sample
_HASH = 12  # hex digits of a ticket's hash


class Channel:
    """The consumer that a client has for one of its engines."""

    def __init__(
        self,
        number: int,
        session: "Session",
        open_: Mapping[int, "Channel"],
        changed: Callable[[], None],
    ) -> None:
        """`open_`: all channels of the session; `changed`: called when one holds more or less."""
        self.number = number
        self.held: dict[EntryId, Holding] = {}
        self.stages: dict[str, None] = {}  # that it ever served; what is in hand may be of them
        name = consumer(session.grant.name, session.ticket, number)
        self.queue = session.common.queue(session.grant, name)
        self.images = Images(number, session, self.queue, self.held)
        self._session = session
        self._open = open_
        self._changed = changed
        self._common = session.common
        self._served: tuple[str, ...] = ()
        self._former: tuple[str, ...] = ()
        self._suspected: set[EntryId] = set()  # of those that are held
        self._past: dict[EntryId, None] = {}  # that were held, the latest
        self._samples = 0  # credit
        self._dry = False  # the last claim found less than was wanted
        self._may_claim = asyncio.Event()
        self._retries = Backoff(ceiling=2.0)
        self._noticed = ""  # why nothing is claimed, as the client was told
        self._pause = 0.0  # seconds until it is worth asking again whether more is allowed

    # What it serves

    async def serve(self, serve: Serve, known: Known, stages: Iterable[str]) -> None:
        """Claim for these stages from now on; `stages`: all that the job ever had."""
        allowed = self._session.grant.stages
        self._served = tuple(
            name
            for name in known.order
            if (serve.only is None or name in serve.only) and (not allowed or name in allowed)
        )
        ever = set(stages)
        self._former = tuple(
            name
            for name in dict.fromkeys(serve.former)
            if name in ever and name not in known.order and (not allowed or name in allowed)
        )
        self.stages |= dict.fromkeys((*self._served, *self._former))
        await self.follow(known)
        self._dry = False
        self.wake()

    async def follow(self, known: Known) -> None:
        """Move samples on by these settings; what is claimed is for the client to say."""
        await self.queue.serve(
            known.order,
            lease_seconds=known.settings.lease_seconds,
            only=self._served,
            former=self._former,
        )

    # What it holds

    def keep(self, holdings: Iterable[Holding]) -> None:
        """Note what a client that came back holds."""
        self.held |= {holding.entry: holding for holding in holdings}

    def mine(self, entries: Sequence[EntryId]) -> list[Holding | None]:
        """Find what is held; None: not any more. Raises Breach for what never was."""
        if len(set(entries)) < len(entries):
            raise Breach(Close.MALFORMED, "An entry is named twice.")
        for entry in entries:
            if entry not in self.held and entry not in self._past:
                raise Breach(Close.FORBIDDEN, "An entry is named that was never held here.")
        return [self.held.get(entry) for entry in entries]

    def suspects(self, holding: Holding) -> bool:
        """Note that a sample is under suspicion; False where it was: once is enough."""
        known = holding.entry in self._suspected
        self._suspected.add(holding.entry)
        return not known

    def forget(self, entries: Iterable[EntryId]) -> None:
        """Note that entries are held no more, but were."""
        for entry in entries:
            self.held.pop(entry, None)
            self._suspected.discard(entry)
            self.images.forget(entry)
            self._past.pop(entry, None)
            self._past[entry] = None
        most = MOST_PAST // max(1, len(self._open))
        while len(self._past) > most:
            del self._past[next(iter(self._past))]
        self._changed()
        self.wake()

    # What is sent to it

    def credit(self, credit: Credit) -> None:
        """Note that more may be sent."""
        if self._samples + credit.samples > MOST_SAMPLES:
            raise Breach(Close.DISORDER, "There is more credit than there may be.")
        self._samples += credit.samples
        self.images.credit(credit.bytes)
        self.wake()

    def fetch(self, fetch: Fetch) -> None:
        """Note that images are asked for."""
        self.images.fetch(fetch.id, dict(zip(fetch.entries, self.mine(fetch.entries), strict=True)))

    def wake(self) -> None:
        """Look again at what may be claimed."""
        self._may_claim.set()

    async def run_claims(self) -> None:
        """Claim and send samples, for ever."""
        failures = 0
        while True:
            while not self._wanted():
                self._may_claim.clear()
                await self._may_claim.wait()
            try:
                await self._send(await self._claim())
                await asyncio.sleep(self._pause)
                failures = 0
            except CaptionFlowError as exc:
                logger.debug("Nothing claimed for %s: %s", self._session.member, exc)
                failures += 1
                await asyncio.sleep(self._retries.delay(failures))

    def _wanted(self) -> int:
        """How many samples may be claimed now, as far as we know."""
        orders = self._session.orders
        if orders.paused or orders.drain or not (self._served or self._former):
            return 0
        held = sum(len(channel.held) for channel in self._open.values())
        return max(0, min(self._samples, MOST_CLAIMED, MOST_HELD - held))

    async def _claim(self) -> list[Handout]:
        stages, line = (*self._served, *self._former), self._common.line
        if not (self._dry or line.awaits(stages)):
            return await self._hand()
        async with line.turn(stages) as turn:
            # Who may not look, or wants none now, has not seen that there is none.
            self._dry = False
            handouts = await self._hand() if self._wanted() else []
            turn.more = not self._dry
            return handouts

    async def _hand(self) -> list[Handout]:
        admission, grant = self._common.admission, self._session.grant
        wanted = self._wanted()
        allowed = await admission.allowance(grant, wanted)
        self._pause = 0.0 if allowed.samples else allowed.wait
        if not allowed.samples:
            self._say(allowed.why)
            return []
        handouts: list[Handout] = []
        try:
            handouts = await self.queue.hand(allowed.samples)
        finally:
            # Images that are not pushed count when they are fetched.
            pushed = [one.holding.bytes for one in handouts if self._shows(one.holding)]
            await admission.spend(
                grant, allowed=allowed.samples, samples=len(handouts), bytes_=sum(pushed)
            )
        self._dry = len(handouts) < allowed.samples
        self.held |= {one.holding.entry: one.holding for one in handouts}
        self._changed()
        return handouts

    def _say(self, why: str) -> None:
        if why and why != self._noticed:
            self._noticed = why
            self._session.outbox.tell(Notice(why))

    async def _send(self, handouts: Iterable[Handout]) -> None:
        sent = []
        for handout in handouts:
            size = len(handout.sample) + len(handout.failures) + sum(map(len, handout.outcomes))
            if size + _FRAME_BYTES > MOST_HEAD:
                await self._give_up(handout.holding, size)
            else:
                sent.append((handout.holding, self._frame(handout)))
        self._samples -= len(sent)
        await self._session.outbox.send_all((frame, b"") for _, frame in sent)
        self._common.figures.samples += len(sent)
        for holding, frame in sent:
            if frame.pushed:
                self.images.push(holding)

    def _frame(self, handout: Handout) -> SampleSent:
        holding = handout.holding
        return SampleSent(
            channel=self.number,
            entry=holding.entry,
            stage=holding.stage,
            sample=handout.sample,
            # Not what the job calls it: of the images with known captions that are sent among
            # them the job knows nothing.
            image=holding.entry,
            attempt=holding.attempt,
            outcomes=handout.outcomes,
            failures=handout.failures,
            pushed=self._shows(holding),
        )

    def _shows(self, holding: Holding) -> bool:
        """Whether the client will show the image that the queue has for this sample."""
        known = self._common.view.newest
        if holding.elsewhere or known is None:
            return False
        passed = set(holding.passed)
        while (name := following(known.order, passed)) is not None and name in self._served:
            if known.stages[name].image:
                return True
            passed.add(name)
        return False

    async def _give_up(self, holding: Holding, size: int) -> None:
        """Fail a sample that no client could be told of: it would come round for ever."""
        detail = f"what is said of it takes {size:,} bytes, more than a frame to a client may hold"
        why = Failure("too_large", detail, time.time(), holding.stage, holding.attempt, "proxy")
        await self.queue.fail([(holding, why)])
        self.forget([holding.entry])


def consumer(contributor: str, ticket: str, channel: int) -> str:
    """Name a channel among those who hold samples: nobody else can come by it."""
    hashed = hashlib.sha256(ticket.encode()).hexdigest()[:_HASH]
    return f"{quote(contributor, safe='')}~{hashed}.{channel}"
