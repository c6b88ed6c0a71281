"""Proxy, one channel of a worker: what it serves and holds, and what is sent to it on its credit.

Samples are claimed as there is credit for them; images follow as there is credit in bytes. Their
memory is a group of them at a time on each connection, whatever the credit.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from caption_flow.errors import CaptionFlowError, QueueUnreachable
from caption_flow.model import EntryId, Failure, following
from caption_flow.proxy.view import Known
from caption_flow.queue.relay import Handout, Holding, RelayQueue
from caption_flow.retry import Backoff
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.frames import (
    MOST_BYTES,
    MOST_ENTRIES,
    MOST_HEAD,
    MOST_PAYLOAD,
    MOST_SAMPLES,
    Credit,
    Did,
    Fetch,
    Frame,
    ImageSent,
    Notice,
    SampleSent,
    Serve,
)

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

MOST_CLAIMED = 32  # samples at a time; then others have their turn
MOST_HELD = 4 * MOST_SAMPLES  # of a channel: beyond that, none is claimed for it
GROUP_BYTES = 1 << 20  # of images in work at once; one alone may be larger
_FRAME_BYTES = 1024  # of a frame, but for what it says of its sample
_HASH = 12  # hex digits of a ticket's hash


class _Fetching(Struct):
    """Images that a client has asked for."""

    id: int
    wanted: deque[Holding]


class Channel:
    """The consumer that a client has for one of its engines."""

    def __init__(self, number: int, session: "Session") -> None:
        self.number = number
        self.held: dict[EntryId, Holding] = {}
        self.stages: dict[str, None] = {}  # that it ever served; what is in hand may be of them
        self.queue = RelayQueue(
            session.common.job,
            name=consumer(session.grant.name, session.ticket, number),
            contributor=session.grant.name,
            reclaims=session.common.reclaims,
        )
        self._session = session
        self._common = session.common
        self._served: tuple[str, ...] = ()
        self._former: tuple[str, ...] = ()
        self._order: tuple[str, ...] = ()
        self._past: dict[EntryId, None] = {}  # that were held, the latest
        self._samples = 0  # credit
        self._bytes = 0  # likewise; the last image may overdraw it
        self._dry = False  # the last claim found less than was wanted
        self._may_claim = asyncio.Event()
        self._pushes: deque[Holding] = deque()
        self._fetches: deque[_Fetching] = deque()
        self._may_send = asyncio.Event()
        self._retries = Backoff(ceiling=2.0)
        self._noticed = ""  # why nothing is claimed, as the client was told
        self._pause = 0.0  # seconds until it is worth asking again whether more is allowed
        self._closed = False

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
            for name in serve.former
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
        self._order = known.order

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

    def forget(self, entries: Iterable[EntryId]) -> None:
        """Note that entries are held no more, but were."""
        for entry in entries:
            self.held.pop(entry, None)
            self._past.pop(entry, None)
            self._past[entry] = None
            if len(self._past) > MOST_HELD:
                del self._past[next(iter(self._past))]
        self.wake()

    # What is sent to it

    def credit(self, credit: Credit) -> None:
        """Note that more may be sent."""
        if self._samples + credit.samples > MOST_SAMPLES or self._bytes + credit.bytes > MOST_BYTES:
            raise Breach(Close.DISORDER, "There is more credit than there may be.")
        self._samples += credit.samples
        self._bytes += credit.bytes
        self.wake()

    def fetch(self, fetch: Fetch) -> None:
        """Note that images are asked for."""
        asked = sum(len(each.wanted) for each in self._fetches)
        if asked + len(fetch.entries) > MOST_ENTRIES or len(self._fetches) >= MOST_SAMPLES:
            raise Breach(Close.DISORDER, "More images are asked for at once than may be.")
        known = zip(fetch.entries, self.mine(fetch.entries), strict=True)
        wanted = deque(holding or _lost(entry) for entry, holding in known)
        self._fetches.append(_Fetching(fetch.id, wanted))
        self._may_send.set()

    def wake(self) -> None:
        """Look again at what may be done."""
        self._may_claim.set()
        self._may_send.set()

    def close(self) -> None:
        """Send no more images; one that is half out is sent, since nothing can go between."""
        self._closed = True
        self.wake()

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
        return max(0, min(self._samples, MOST_CLAIMED, MOST_HELD - len(self.held)))

    async def _claim(self) -> list[Handout]:
        stages, line = (*self._served, *self._former), self._common.line
        if not (self._dry or line.awaits(stages)):
            return await self._hand()
        async with line.turn(stages) as turn:
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
        return handouts

    def _say(self, why: str) -> None:
        if why and why != self._noticed:
            self._noticed = why
            self._session.outbox.tell(Notice(why))

    async def _send(self, handouts: Iterable[Handout]) -> None:
        for handout in handouts:
            holding = handout.holding
            size = len(handout.sample) + len(handout.failures) + sum(map(len, handout.outcomes))
            if size + _FRAME_BYTES > MOST_HEAD:
                await self._give_up(holding, size)
                continue
            self._samples -= 1
            pushed = self._shows(holding)
            await self._session.outbox.send(self._frame(handout, pushed=pushed))
            self._common.figures.samples += 1
            if pushed:
                self._pushes.append(holding)
                self._may_send.set()

    def _frame(self, handout: Handout, *, pushed: bool) -> Frame:
        holding = handout.holding
        return SampleSent(
            channel=self.number,
            entry=holding.entry,
            stage=holding.stage,
            sample=handout.sample,
            image=holding.image,
            attempt=holding.attempt,
            outcomes=handout.outcomes,
            failures=handout.failures,
            pushed=pushed,
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
        why = Failure("too_large", detail, 0.0, holding.stage, holding.attempt)
        await self.queue.fail([(holding, why)])
        self.forget([holding.entry])

    # Images

    async def run_pushes(self) -> None:
        """Send images, until closed."""
        failures = 0
        while True:
            while not (self._closed or self._fetches or (self._pushes and self._bytes > 0)):
                self._may_send.clear()
                await self._may_send.wait()
            if self._closed:
                return
            try:
                async with self._session.images:
                    await (self._send_fetched() if self._fetches else self._send_pushed())
                failures = 0
            except QueueUnreachable as exc:
                logger.debug("No images for %s: %s", self._session.member, exc)
                failures += 1
                await asyncio.sleep(self._retries.delay(failures))

    async def _send_pushed(self) -> None:
        group = _group(self._pushes, most=min(GROUP_BYTES, self._bytes))
        held = [holding for holding in group if holding.entry in self.held]
        images = await self.queue.images(held)
        for _ in group:
            self._pushes.popleft()
        for holding in held:
            self._bytes -= await self._send_image(holding, images.pop(holding.entry, b""))

    async def _send_fetched(self) -> None:
        fetching = self._fetches[0]
        group = _group(fetching.wanted, most=GROUP_BYTES)
        images = await self.queue.images([one for one in group if one.entry in self.held])
        sent = 0
        for holding in group:
            fetching.wanted.popleft()
            sent += await self._send_image(holding, images.pop(holding.entry, b""))
        admission, grant = self._common.admission, self._session.grant
        await admission.spend(grant, allowed=0, samples=0, bytes_=sent)
        if not fetching.wanted:
            self._fetches.popleft()
            await self._session.outbox.answer(Did(fetching.id))

    async def _send_image(self, holding: Holding, image: bytes) -> int:
        if len(image) > MOST_PAYLOAD:
            image = b""
        frame = ImageSent(self.number, holding.entry, gone=not image)
        await self._session.outbox.send(frame, image)
        self._common.figures.bytes += len(image)
        return len(image)


def consumer(contributor: str, ticket: str, channel: int) -> str:
    """Name a channel among those who hold samples: nobody else can come by it."""
    hashed = hashlib.sha256(ticket.encode()).hexdigest()[:_HASH]
    return f"{quote(contributor, safe='')}~{hashed}.{channel}"


def _group(holdings: Iterable[Holding], *, most: int) -> list[Holding]:
    """Take the first few whose images are this large together; one at least."""
    group: list[Holding] = []
    size = 0
    for holding in holdings:
        if group and size + holding.bytes > most:
            break
        group.append(holding)
        size += holding.bytes
    return group


def _lost(entry: EntryId) -> Holding:
    """Stand for a sample that is held no more, whose image nobody gets."""
    return Holding(entry, "", entry, 0, (), elsewhere=False, bytes=0, noted=0)
