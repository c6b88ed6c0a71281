"""Remote, what is said over a connection and after it breaks over the next one.

Lives in the connection's thread and does no I/O: it is told what came, and gives what to send.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.codec.records import UnreadableRecord
from caption_flow.errors import (
    CaptionFlowError,
    QueueFull,
    QueueUnfit,
    QueueUnreachable,
    ServerUnreachable,
)
from caption_flow.model import EntryId
from caption_flow.queue.ports import Settings
from caption_flow.remote.bridge import Answer
from caption_flow.remote.channel import Channel
from caption_flow.remote.refusals import words
from caption_flow.remote.requests import REPLIES, Replies, Request
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.feeding import Digests
from caption_flow.wire.fields import MOST_ENTRIES, MOST_TICKETS, Frame
from caption_flow.wire.frames import (
    FromServer,
    ImageSent,
    Leave,
    Notice,
    Orders,
    Refused,
    Renewal,
    SampleSent,
    Serve,
    Serving,
    SettingsTold,
    Welcome,
)

logger = logging.getLogger(__name__)

CUT_SECONDS = 5.0  # without a connection, until who waits for an answer is told
GATHER_SECONDS = 0.002  # how long a sample waits for others before the worker is woken
AGAIN_SECONDS = 1.0  # until a channel is opened again where the proxy could not

_KINDS: dict[str, type[CaptionFlowError]] = {
    "unreachable": QueueUnreachable,
    "full": QueueFull,
    "unfit": QueueUnfit,
}
NO_WELCOME = Welcome("", "", False, 0.0, 0.0, 0)  # noqa: FBT003 - an array on the wire


class Send(Protocol):
    """Sends a frame, soon."""

    def __call__(self, frame: Frame, payload: Sequence[bytes] = ()) -> None:
        """The payload comes in pieces."""
        ...


class Opening(Struct, frozen=True):
    """A channel that the proxy was told of, and has not answered."""

    channel: Channel
    told: Serve
    held: tuple[EntryId, ...]  # since before the connection
    named: int  # so many of them to the proxy


class Talk:
    """All that one process has to say to its proxy, whatever connection there is."""

    def __init__(self, place: str, *, feeds: bool = False) -> None:
        """`feeds`: what is held are chunks, and nobody opens a channel for them."""
        self.failure: CaptionFlowError | None = None  # what ended it for good
        self.settings: Settings | None = None  # as the proxy told them last
        self.mark: str | None = None  # of the settings
        self.stages: tuple[str, ...] = ()  # all that the job ever had
        self.orders = Orders(paused=False, drain=False)
        self.channels: dict[int, Channel] = {}
        # Of connections, the last last. Who opens channels names those before in each of them.
        self.tickets: deque[str] = deque(maxlen=MOST_TICKETS + 1 if feeds else 1)
        self._place = place
        self._feeds = feeds
        self._ids = count()
        self._asked: dict[int, Request] = {}  # sent and not answered, in the order of their ids
        self._waiting: list[Request] = []  # not sent: no connection, or their channel is not open
        self._opening: dict[int, Opening] = {}  # by the ids of what was sent
        self._send: Send = _nowhere
        self._is_up = False  # there is a connection
        self.welcome = NO_WELCOME  # on the connection that is there, or was last
        self._telling: set[Channel] = set()  # whose workers are woken in a moment
        self._watching: list[Answer] = []  # who waits for news

    # What our side wants

    def begin(self, request: Request) -> None:
        """Ask something, now or when that is possible."""
        channel = request.channel
        if self.failure is not None:
            request.give(self.failure)
        elif isinstance(request.frame, Leave) and channel and self._is_closed(channel):
            self._leave(request)
        else:
            self._waiting.append(request)
            self._ask_what_can_be()
            self._limit([request])

    def forget(self, request: Request) -> None:
        """Ask something no more: it was answered, or nobody waits any longer."""
        if isinstance(request.frame, Leave):  # its channel's number is not free before that
            return
        if request in self._waiting:
            self._waiting.remove(request)
        elif self._asked.get(request.frame.id) is request:
            del self._asked[request.frame.id]

    def open(self, channel: Channel) -> None:
        """Open a channel, or say what it serves from now on."""
        serve, known = channel.serve, self.channels.get(channel.number) is channel
        if not (known and self._is_up) or serve is None or channel.opening:
            return
        held = () if channel.open else channel.holding()
        id_ = next(self._ids)
        named = held[:MOST_ENTRIES] if self.welcome.resumes else ()
        # The last of them stands in the hello.
        tickets = () if channel.open else tuple(channel.tickets[:-1][-MOST_TICKETS:])
        self._opening[id_] = Opening(channel, serve, held, len(named))
        channel.opening = True
        self._send(replace(serve, id=id_, holding=named, tickets=tickets))

    def give_credit(self, channel: Channel) -> None:
        """Give the credit that a channel has to give; on opening it gives all."""
        if channel.open and (credit := channel.credit()):
            self._send(credit)

    def tell(self, frame: Frame) -> None:
        """Send something that nobody misses where there is no connection."""
        self._send(frame)

    def watch(self, answer: Answer) -> None:
        """Have an answer given at the next news: of settings, of orders, of the end."""
        if self.failure is not None:
            answer.give(self.failure)
        else:
            self._watching.append(answer)

    # What becomes of the connection

    def up(self, welcome: Welcome, send: "Send") -> None:
        """Go on over a new connection."""
        self.welcome, self._send = welcome, send
        self.tickets.append(welcome.ticket)
        self._is_up = True
        if self._feeds:  # it may have nothing to ask for longer than its chunks wait for it
            self._send(Renewal(next(self._ids), 0, ()))
        for channel in list(self.channels.values()):
            self.open(channel)
        self._ask_what_can_be()

    def down(self) -> None:
        """Note that the connection is gone."""
        self._send, self._is_up = _nowhere, False
        self._opening.clear()
        asked, self._asked = list(self._asked.values()), {}
        for channel in list(self.channels.values()):
            channel.cut(self.welcome.ticket)
        for request in asked:
            if isinstance(request.frame, Leave):
                self._leave(request)
        again = [request for request in asked if not isinstance(request.frame, Leave)]
        self._waiting = [*again, *self._waiting]
        self._limit(again)

    def fail(self, failure: CaptionFlowError) -> None:
        """Tell all who ask that there is no way to the proxy, now or later."""
        self.failure = failure
        self._give_all(failure)
        self._tell_news(failure)

    # What the proxy says

    def take(self, frame: FromServer, payload: bytes) -> None:
        """Take what has come; raises Breach where it makes no sense."""
        if isinstance(frame, SampleSent):
            self._take_sample(frame)
        elif isinstance(frame, ImageSent):
            self._take_image(frame, payload)
        elif isinstance(frame, REPLIES):
            self._take_reply(frame, payload)
        elif isinstance(frame, SettingsTold):
            self.stages = frame.stages
            self.settings = Settings(frame.version, frame.document, frame.by)
            self.mark = self.settings.mark
            self._tell_news(None)
        elif isinstance(frame, Orders):
            self.orders = frame
            self._tell_news(None)
        elif isinstance(frame, Notice):
            logger.info("%s says: %s", self._place, words(frame.text))
        else:
            raise Breach(Close.DISORDER, "A second welcome has come.")

    def _take_sample(self, frame: SampleSent) -> None:
        channel = self.channels.get(frame.channel)
        if channel is None:  # it was closed meanwhile
            return
        try:
            channel.add(frame)
        except UnreadableRecord as exc:
            logger.warning("Passing over a sample of %s. %s", self._place, exc)
        if channel not in self._telling:
            self._telling.add(channel)
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._wake, channel)

    def _wake(self, channel: Channel) -> None:
        self._telling.discard(channel)
        channel.tell()

    def _take_image(self, frame: ImageSent, payload: bytes) -> None:
        channel = self.channels.get(frame.channel)
        if channel is not None:
            channel.add_image(frame.entry, payload, gone=frame.gone)

    def _take_reply(self, reply: Replies, payload: bytes) -> None:
        if reply.id in self._opening:
            self._opened(self._opening.pop(reply.id), reply)
            return
        request = self._asked.get(reply.id)
        if request is None:  # it was given up meanwhile
            return
        request.check(reply)
        if isinstance(reply, Digests):
            request.take(payload)
            return
        del self._asked[reply.id]
        if isinstance(request.frame, Leave):
            self._leave(request)
        elif isinstance(reply, Refused):
            request.give(self._error(reply))
        else:
            request.reply(reply, payload)

    def _opened(self, opening: "Opening", reply: Replies) -> None:
        channel = opening.channel
        channel.opening = False
        if isinstance(reply, Refused):
            self._not_opened(channel, reply)
            return
        if not isinstance(reply, Serving):
            raise Breach(Close.MALFORMED, "An answer is not one to what was asked.")
        if not channel.open:
            welcome = self.welcome
            # What could not be named comes again, as something new.
            lost = (*reply.lost, *opening.held[opening.named :])
            if lost:
                logger.warning("%d samples went to others meanwhile; dropping them", len(lost))
            channel.opened(lost, most_samples=welcome.most_samples, most_bytes=welcome.most_bytes)
            self.give_credit(channel)
        if channel.serve is not opening.told:
            self.open(channel)
        self._ask_what_can_be()

    def _not_opened(self, channel: Channel, reply: Refused) -> None:
        error = self._error(reply)
        if isinstance(error, QueueUnreachable | QueueFull):
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.open, channel)
        else:
            channel.trouble = error
            channel.fail(error)

    def _ask_what_can_be(self) -> None:
        if self._is_up:
            ready = [r for r in self._waiting if r.channel is None or r.channel.open]
            self._waiting = [r for r in self._waiting if r.channel and not r.channel.open]
            for request in ready:
                self._ask(request)

    def _ask(self, request: Request) -> None:
        if not request.narrow():
            request.reply(None)
            return
        id_ = next(self._ids)
        self._asked[id_] = request
        self._send(request.numbered(id_), request.payload)

    def _is_closed(self, channel: Channel) -> bool:
        return not (channel.open or channel.opening)

    def _leave(self, request: Request) -> None:
        """Have a channel no more; what it held over a connection that broke goes to others."""
        if request.channel is not None:
            self.channels.pop(request.channel.number, None)
        request.reply(None)

    def _limit(self, requests: Iterable[Request]) -> None:
        """Let these wait for a connection for a while only: whoever asks may want to end."""
        if not self._is_up:
            loop = asyncio.get_running_loop()
            for request in requests:
                loop.call_later(CUT_SECONDS, self._despair, request)

    def _despair(self, request: Request) -> None:
        if not self._is_up and request in self._waiting:
            self._waiting.remove(request)
            request.give(ServerUnreachable(f"There is no connection to {self._place}."))

    def _give_all(self, error: CaptionFlowError) -> None:
        requests: Iterable[Request] = [*self._asked.values(), *self._waiting]
        self._asked.clear()
        self._waiting.clear()
        for request in requests:
            request.give(error)
        for channel in list(self.channels.values()):
            channel.fail(error)

    def _tell_news(self, result: object) -> None:
        watching, self._watching = self._watching, []
        for answer in watching:
            answer.give(result)

    def _error(self, reply: Refused) -> CaptionFlowError:
        kind = _KINDS.get(reply.kind, CaptionFlowError)
        return kind(f"{self._place} says: {words(reply.text)}")


def _nowhere(frame: Frame, payload: Sequence[bytes] = ()) -> None:
    """Send a frame where there is no connection."""
