"""Remote, the link: one connection to a proxy, kept up by a thread of its own.

A model that loads holds the event loop of its role for minutes; the connection must not die of
that. What breaks is opened again, with what was held and what was not answered, while the ports
wait. What a proxy says for good ends the link, and all who ask are told.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Lock, Thread
from typing import Any, Self

from caption_flow.errors import CaptionFlowError, Misunderstanding, ServerUnreachable
from caption_flow.lifecycle import cancel, fastest_loop
from caption_flow.model import Counts
from caption_flow.queue.ports import Settings
from caption_flow.remote.bridge import Answer, Bridge, Bridges
from caption_flow.remote.channel import Channel
from caption_flow.remote.entrance import Entrance, Wire
from caption_flow.remote.refusals import Away, words
from caption_flow.remote.requests import Request
from caption_flow.remote.talk import Talk
from caption_flow.retry import Backoff
from caption_flow.wire.fields import MOST_CHANNELS, Frame
from caption_flow.wire.frames import CountsWanted, Orders, Welcome, pack

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 60.0  # answers wait behind images on a slow line
STEADY_SECONDS = 10.0  # a connection that lasted so long was a good one
SLICE = 128 << 10  # bytes of a payload that are sent in one piece
BACKOFF = Backoff(first=0.2, ceiling=20.0)


class Link:
    """The connection of one process; its methods may be called in any event loop."""

    def __init__(self, entrance: Entrance) -> None:
        self.place = entrance.place
        self._entrance = entrance
        self._talk = Talk(entrance.place, feeds=entrance.role == "feeder")
        self._bridges = Bridges()
        self._numbering = Lock()
        self._failures = 0  # in a row
        self.trouble: ServerUnreachable | None = None  # why there is no connection now

    async def __aenter__(self) -> Self:
        started = Answer(self._bridges.here())
        self._thread = Thread(target=self._work, args=(started,), name="link", daemon=True)
        self._thread.start()
        await started.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inlet.call(self._closing.set)
        await asyncio.to_thread(self._thread.join)

    @property
    def failure(self) -> CaptionFlowError | None:
        """What ended the link for good."""
        return self._talk.failure

    @property
    def welcome(self) -> Welcome:
        """What the proxy said of us last."""
        return self._talk.welcome

    @property
    def settings(self) -> Settings | None:
        """The settings of the job, as the proxy told them last."""
        return self._talk.settings

    @property
    def mark(self) -> str | None:
        """What tells these settings from others."""
        return self._talk.mark

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages that the job ever had."""
        return self._talk.stages

    @property
    def orders(self) -> Orders:
        """What the operator of the job wants of this process."""
        return self._talk.orders

    def channel(self) -> Channel:
        """Make a channel; it is opened when it is told what it serves."""
        with self._numbering:
            taken = self._talk.channels
            number = next((n for n in range(MOST_CHANNELS) if n not in taken), None)
            if number is None:
                raise CaptionFlowError(f"A worker has at most {MOST_CHANNELS} engines at once.")
            taken[number] = channel = Channel(number)
            return channel

    def open(self, channel: Channel) -> None:
        """Open a channel, or tell what it serves from now on."""
        self._inlet.call(self._talk.open, channel)

    def give_credit(self, channel: Channel) -> None:
        """Give the credit that a channel has to give."""
        self._inlet.call(self._talk.give_credit, channel)

    def tell(self, frame: Frame) -> None:
        """Send something that nobody misses where there is no connection."""
        self._inlet.call(self._talk.tell, frame)

    async def ask(self, frame: Frame, channel: Channel | None = None) -> tuple[Any, Any]:
        """Send a request; answers it as it was sent last, without what was lost, and the reply.

        The reply is None where all was lost. Raises ServerUnreachable when it takes too long.
        """
        sent, reply, _ = await self._ask(Request(frame, channel, self.answer()), ANSWER_SECONDS)
        return sent, reply

    async def ask_with(
        self, frame: Frame, payload: Sequence[bytes] = (), *, seconds: float = ANSWER_SECONDS
    ) -> tuple[Any, bytes]:
        """Send a request with what belongs to it; answers the reply, and what belongs to that."""
        request = Request(frame, None, self.answer(), payload)
        _, reply, told = await self._ask(request, seconds)
        return reply, told

    async def _ask(self, request: Request, seconds: float) -> tuple[Any, Any, bytes]:
        self._inlet.call(self._talk.begin, request)
        try:
            return await self.waited(request.answer, seconds)  # type: ignore[no-any-return]
        except BaseException:
            self._inlet.call(self._talk.forget, request)
            raise

    async def counts(self) -> Counts:
        """Read the books."""
        _, reply = await self.ask(CountsWanted(0))
        counts: Counts = reply.counts
        return counts

    async def news(self) -> None:
        """Wait for other settings or orders; raises what ends the link."""
        answer = self.answer()
        self._inlet.call(self._talk.watch, answer)
        await answer.wait()

    def answer(self) -> Answer:
        """Make something to wait for, here."""
        return Answer(self._bridges.here())

    async def waited(self, answer: Answer, seconds: float = ANSWER_SECONDS) -> Any:
        """Wait for it as long as is right."""
        if self.failure is not None:
            raise self.failure
        try:
            async with asyncio.timeout(seconds):
                return await answer.wait()
        except TimeoutError as exc:
            raise Away(f"{self.place} did not answer in time.") from exc

    # The connection's thread

    def _work(self, started: Answer) -> None:
        with asyncio.Runner(loop_factory=fastest_loop()) as runner:
            self._inlet = Bridge(runner.get_loop())
            self._closing = asyncio.Event()
            started.give(None)
            runner.run(self._run())

    async def _run(self) -> None:
        # Beside: who wants to end does not wait for a server that does not answer.
        keeping = asyncio.create_task(self._keep_up())
        await self._closing.wait()
        keeping.cancel()  # once: again, it would cut short the goodbye
        await asyncio.wait({keeping})

    async def _keep_up(self) -> None:
        try:
            while not self._closing.is_set():
                await self._try()
        except CaptionFlowError as exc:
            self._talk.fail(exc)
        except Exception as exc:  # of any kind: nobody else would notice the end of this thread
            logger.exception("The connection to %s has ended", self.place)
            self._talk.fail(Misunderstanding(f"{type(exc).__name__}: {exc}"))

    async def _try(self) -> None:
        try:
            await self._connected()
        except ServerUnreachable as exc:
            self._failures += 1
            self.trouble = exc
            wait = max(BACKOFF.delay(self._failures), getattr(exc, "wait", 0.0))
            logger.warning("%s Next try in %.1f s", exc, wait)
            try:
                async with asyncio.timeout(wait):
                    await self._closing.wait()
            except TimeoutError:
                pass

    async def _connected(self) -> None:
        """Work over one connection, until it breaks or is needed no more."""
        async with self._entrance.opened(self._talk.tickets) as (wire, welcome):
            logger.info("Connected to %s as %s", self.place, words(welcome.contributor))
            outbox = Outbox(wire)
            since = time.monotonic()
            self._talk.up(welcome, outbox.put)
            self.trouble = None
            works = (self._read(wire), outbox.run(), wire.keep_alive(), self._closing.wait())
            tasks = [asyncio.create_task(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._talk.down()
                await cancel(*tasks)
                if time.monotonic() - since > STEADY_SECONDS:
                    self._failures = 0
            for task in done:
                task.result()
            if not self._closing.is_set():
                raise Away(f"{self.place} has not been heard of for a while.")

    async def _read(self, wire: Wire) -> None:
        while True:
            frame, payload = await wire.frame()
            self._talk.take(frame, payload)


class Outbox:
    """What goes out over one connection, in order."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._frames: deque[tuple[Frame, Sequence[bytes]]] = deque()
        self._some = asyncio.Event()

    def put(self, frame: Frame, payload: Sequence[bytes] = ()) -> None:
        """Send a frame, as soon as the line takes it."""
        self._frames.append((frame, payload))
        self._some.set()

    async def run(self) -> None:
        """Send, without end."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._frames:
                frame, payload = self._frames.popleft()
                await self._wire.send(_pieces(frame, payload) if payload else pack(frame))


def _pieces(frame: Frame, payload: Sequence[bytes]) -> Iterator[bytes | memoryview]:
    """Cut what is sent so that answers to pings get in between on a slow line."""
    yield pack(frame)
    for part in payload:
        view = memoryview(part)
        for start in range(0, len(part), SLICE):
            yield view[start : start + SLICE]
