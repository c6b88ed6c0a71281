"""Proxy, images of one channel: those that are pushed on credit, and those that are fetched.

Their memory is a group of them at a time on each connection, whatever the credit.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from caption_flow.errors import CaptionFlowError
from caption_flow.model import EntryId
from caption_flow.proxy.refusal import refusal
from caption_flow.queue.relay import Holding, RelayQueue
from caption_flow.retry import Backoff
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import MOST_ENTRIES, Frame
from caption_flow.wire.frames import MOST_BYTES, MOST_PAYLOAD, MOST_SAMPLES, Did, ImageSent

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

MOST_FETCHES = 8  # of one image on a connection; who needs it more often means harm
GROUP_BYTES = 1 << 20  # of images in work at once; one alone may be larger


class _Fetching(Struct):
    """Images that a client has asked for."""

    id: int
    wanted: deque[Holding]


class Images:
    """Sends the images of what one channel holds."""

    def __init__(
        self, channel: int, session: "Session", queue: RelayQueue, held: Collection[EntryId]
    ) -> None:
        """`held`: what the channel holds, as it changes."""
        self._channel = channel
        self._session = session
        self._queue = queue
        self._held = held
        self._credit = 0  # bytes; the last image may overdraw it
        self._pushes: deque[Holding] = deque()
        self._fetches: deque[_Fetching] = deque()
        self._times: Counter[EntryId] = Counter()  # that images of what is held were asked for
        self._may_send = asyncio.Event()
        self._retries = Backoff(ceiling=2.0)
        self._closed = False

    def credit(self, bytes_: int) -> None:
        """Note that more may be sent."""
        if self._credit + bytes_ > MOST_BYTES:
            raise Breach(Close.DISORDER, "There is more credit in bytes than there may be.")
        self._credit += bytes_
        self._may_send.set()

    def push(self, holding: Holding) -> None:
        """Have an image sent unasked, as there is credit."""
        self._pushes.append(holding)
        self._may_send.set()

    def fetch(self, id_: int, wanted: Mapping[EntryId, Holding | None]) -> None:
        """Have images sent that are asked for; None: it is held no more, and nobody gets it.

        Who asks anew has given up what it asked before: it gets them once.
        """
        for earlier in self._fetches:
            earlier.wanted = deque(one for one in earlier.wanted if one.entry not in wanted)
        asked = sum(len(each.wanted) for each in self._fetches)
        if asked + len(wanted) > MOST_ENTRIES or len(self._fetches) >= MOST_SAMPLES:
            raise Breach(Close.DISORDER, "More images are asked for at once than may be.")
        holdings = deque(holding or _lost(entry) for entry, holding in wanted.items())
        self._fetches.append(_Fetching(id_, holdings))
        self._may_send.set()

    def forget(self, entry: EntryId) -> None:
        """Note that a sample is held no more."""
        self._times.pop(entry, None)

    def _count(self, entry: EntryId) -> None:
        if entry not in self._held:  # any more
            return
        self._times[entry] += 1
        if self._times[entry] > MOST_FETCHES:
            raise Breach(Close.DISORDER, "The same image is asked for again and again.")

    def close(self) -> None:
        """Send no more; one that is half out is sent, since nothing can go between."""
        self._closed = True
        self._may_send.set()

    async def run(self) -> None:
        """Send images, until closed."""
        failures = 0
        while await self._wanted():
            try:
                async with self._session.image_lock:
                    await (self._answer_fetch() if self._fetches else self._send_pushed())
                failures = 0
            except Breach:
                raise
            except CaptionFlowError as exc:
                logger.debug("No images for %s: %s", self._session.member, exc)
                failures += 1
                await asyncio.sleep(self._retries.delay(failures))

    async def _wanted(self) -> bool:
        """Wait until there is something to send; False once closed."""
        while not (self._closed or self._fetches or (self._pushes and self._credit > 0)):
            self._may_send.clear()
            await self._may_send.wait()
        return not self._closed

    async def _send_pushed(self) -> None:
        group = _group(self._pushes, most=min(GROUP_BYTES, self._credit))
        held = [holding for holding in group if holding.entry in self._held]
        images = await self._queue.images(held)
        for _ in group:
            self._pushes.popleft()
        self._credit -= await self._send(held, images)

    async def _answer_fetch(self) -> None:
        fetching = self._fetches[0]
        try:
            await self._send_fetched(fetching)
        except Breach:
            raise
        except CaptionFlowError as exc:
            self._fetches.remove(fetching)
            await self._session.outbox.answer(refusal(fetching.id, exc))

    async def _send_fetched(self, fetching: _Fetching) -> None:
        session = self._session
        group = _group(fetching.wanted, most=GROUP_BYTES)
        for _ in group:
            fetching.wanted.popleft()
        images = await self._queue.images([one for one in group if one.entry in self._held])
        for entry in images:
            self._count(entry)
        sent = await self._send(group, images)
        await session.common.admission.spend(session.grant, allowed=0, samples=0, bytes_=sent)
        if session.common.admission.is_exhausted(session.grant):
            raise Breach(Close.EXCESS, "This token has had twice what it may be sent in a day.")
        if not fetching.wanted:
            self._fetches.popleft()
            await session.outbox.answer(Did(fetching.id))

    async def _send(self, group: Iterable[Holding], images: Mapping[EntryId, bytes]) -> int:
        """Send what was found of a group; answers its bytes."""
        found = {entry: image for entry, image in images.items() if len(image) <= MOST_PAYLOAD}
        sent = sum(map(len, found.values()))
        await self._session.outbox.send_all(self._messages(group, found))
        self._session.common.figures.bytes += sent
        return sent

    def _messages(
        self, group: Iterable[Holding], found: dict[EntryId, bytes]
    ) -> Iterator[tuple[Frame, bytes]]:
        for holding in group:
            image = found.pop(holding.entry, b"")
            yield ImageSent(self._channel, holding.entry, gone=not image), image


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
