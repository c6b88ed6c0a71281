"""Proxy, one connection: hello and welcome, what changes meanwhile, and each frame to its desk.

What a client sends is never trusted. Whatever it breaks ends its own connection, with a code and a
reason, and what it held goes back.
"""

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import astuple, replace
from websockets.exceptions import ConnectionClosed

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant, Role
from caption_flow.lifecycle import cancel
from caption_flow.proxy.common import Common
from caption_flow.proxy.desk import Desk, End, Handler, MakeDesk
from caption_flow.proxy.door import Door
from caption_flow.proxy.outbox import Outbox
from caption_flow.proxy.refusal import refusal
from caption_flow.queue.ports import Member
from caption_flow.wire.closing import Breach, Close, shortened
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import (
    HELLO_SECONDS,
    SILENCE_SECONDS,
    Beat,
    Counted,
    CountsWanted,
    Defer,
    FromClient,
    Hello,
    Orders,
    Reader,
    Release,
    Serve,
    Welcome,
    from_client,
)

logger = logging.getLogger(__name__)

MOST_FRAMES = 2000  # of one connection in a second, by weight; then it has to wait
MOST_FIGURE = 1e15  # of a beat
MOST_FACTS = 4096  # bytes of all facts of a beat: whoever watches reads those of all, each second
BEAT_SECONDS = 1.0  # the least between two that are passed on
LEAVE_SECONDS = 2.0  # for a courtesy
CLOSE_SECONDS = 2.0  # for the other end to answer a close
_MEMBERS: Mapping[Role, str] = {"feeder": "feed"}  # roles that members have by another word
_ROLES: Mapping[Role, tuple[Role, ...]] = {"admin": ("admin", "monitor")}
_TICKET = re.compile(r"[0-9a-f]{32}")

# What frames cost us and Redis, where it is more than others: by themselves, and for each thing
# that they name.
_WEIGHTS: Mapping[type[Frame], tuple[int, float]] = {
    CountsWanted: (20, 0),
    Serve: (20, 0.25),
    Release: (1, 4),  # samples that come and go again
    Defer: (1, 4),
}
_WEIGHT = (1, 0.25)


class Session:
    """What a proxy does for one connection."""

    def __init__(
        self,
        connection: Door,
        grant: Grant,
        common: Common,
        desks: Mapping[Role, MakeDesk],
    ) -> None:
        self.grant = grant
        self.common = common
        self.ticket = secrets.token_hex(16)
        self.hello: Hello
        self.outbox = Outbox(connection)
        self.orders = Orders(paused=False, drain=False)
        self.image_lock = asyncio.Lock()  # around a group of images, read and sent
        self.released = asyncio.Event()  # it claims nothing more, and settles nothing
        self._connection = connection
        self._desks = desks
        self._desk: Desk | None = None  # once the client has its place
        self._handlers: Mapping[type[Frame], Handler]
        self._most_payload = common.supply.most_payload(grant.role)
        self._reader: Reader[FromClient] = from_client(most_payload=self._most_payload)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._last_id = -1
        self._beaten = -math.inf  # when, on the monotonic clock
        self._started = time.time()
        self._told: object = None  # the settings, as they were told last
        self._flowing = time.monotonic()  # when the client last took in what was sent

    @property
    def member(self) -> str:
        """Name the client in rows and lists, so that none can pose as another's."""
        return f"{self.grant.name}/{self.hello.member}"

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something beside, for as long as the session lasts; if it fails, that ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def end(self, end: End) -> None:
        """Let the session end, for the first reason that is given."""
        if not self._ending.done():
            self._ending.set_result(end)

    async def run(self) -> None:
        """Serve the client until either end closes."""
        try:
            self.spawn(self._greet())
            end = await self._ending
        finally:
            await cancel(*self._tasks)
            self.common.view.watchers.discard(self)
            if self.common.sessions.get(self.ticket) is self:
                del self.common.sessions[self.ticket]
            self.released.set()
        async with asyncio.TaskGroup() as parting:  # it is out at once, though Redis be away
            parting.create_task(self._close(end))
            if self._desk is not None:
                parting.create_task(self._part(self._desk, end))

    # The beginning

    async def _greet(self) -> None:
        """Hear who it is, say what holds, and go on from there."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello, _ = self._reader.read(await self._connection.recv())
        except TimeoutError as exc:
            raise Breach(Close.LATE, "No hello came in time.") from exc
        self.hello = self._checked(hello)
        if not await self._enter(self.hello):
            raise Breach(Close.EXCESS, "This token has as many connections as it may.")
        await self._welcome(self.hello)
        self.spawn(self._read_for_ever())
        self.spawn(self.outbox.run())

    def _checked(self, hello: FromClient) -> Hello:
        if not isinstance(hello, Hello):
            raise Breach(Close.DISORDER, "The first frame is no hello.")
        # Who may change things may look at them, too.
        fits = hello.role in _ROLES.get(self.grant.role, (self.grant.role,))
        if not fits or hello.role not in self._desks:
            raise Breach(Close.FORBIDDEN, f"This token is not for the role {hello.role}.")
        known = _TICKET.fullmatch(hello.resume) is not None
        shown = {name: _shown(getattr(hello, name)) for name in ("host", "software")}
        return replace(hello, resume=hello.resume if known else "", **shown)

    async def _enter(self, hello: Hello) -> bool:
        """Take a place among the connections of the token; False where it has no more."""
        await self._take_over(hello.resume)
        try:
            return await self.common.admission.enter(
                self.grant, self.ticket, instead_of=hello.resume
            )
        except CaptionFlowError as exc:
            logger.warning("Nobody counts the connections of %s. %s", self.grant.name, exc)
            return True

    async def _welcome(self, hello: Hello) -> None:
        common = self.common
        desk = self._desk = self._desks[hello.role](self)
        self._handlers = {Beat: self._beat, CountsWanted: self._count, **desk.handlers}
        newest = common.view.newest
        await self.outbox.send(
            Welcome(
                contributor=self.grant.name,
                ticket=self.ticket,
                resumes=bool(hello.resume),
                resume_seconds=common.config.resume_seconds,
                lease_seconds=newest.settings.lease_seconds if newest else common.lease_seconds,
                most_payload=self._most_payload,
                stages=self.grant.stages,
                most_text=common.config.max_caption_bytes,
                job=common.job.job,
                most_image=common.supply.most_image,
                budget=(common.supply.budget.bytes, common.supply.budget.samples),
            )
        )
        logger.info("%s has come, from %s", self.member, hello.host)
        common.sessions[self.ticket] = self
        common.view.watchers.add(self)
        self.outbox.tell(self.orders)
        self.look()

    async def _take_over(self, ticket: str) -> None:
        """End the connection that this one resumes, should it still seem open here."""
        former = self.common.sessions.get(ticket)
        if former is not None and former.grant.sha256 == self.grant.sha256:
            former.end(End(None, "Another connection has taken this one's place."))
            await former.released.wait()

    # What changes meanwhile

    def look(self) -> None:
        """Follow what has changed; the view calls this twice a second."""
        now = self.common.admission.current(self.grant)
        if now is None:
            self.end(End(Close.UNAUTHORIZED, "This token was removed, or has expired."))
            return
        if (now.stages, now.trusted) != (self.grant.stages, self.grant.trusted):
            self.end(End(Close.EXCESS, "This token may do other things now. Come back."))
            return
        self._look_at_flow()
        told = self.common.view.told
        if told is not None and told is not self._told:
            self._told = told
            self.outbox.tell(told)
        orders = self.common.view.orders(self.member)
        if orders != self.orders:
            self.orders = orders
            self.outbox.tell(orders)
        if self._desk is not None:
            self._desk.look()

    def _look_at_flow(self) -> None:
        """End it with a client that takes in nothing: pings wait behind what it does not take."""
        if not self._connection.paused:
            self._flowing = time.monotonic()
        elif time.monotonic() - self._flowing > SILENCE_SECONDS:
            self.end(End(Close.LATE, "For too long, nothing of what was sent was taken in."))

    # What the client says

    async def _read_for_ever(self) -> None:
        while True:
            begun, weight = time.monotonic(), 0.0
            while weight < MOST_FRAMES:
                frame, payload = self._reader.read(await self._connection.recv())
                weight += _weight(frame)
                await self._handle(frame, payload)
                await asyncio.sleep(0)  # so that the others have their turn, whatever comes here
            await asyncio.sleep(begun + weight / MOST_FRAMES - time.monotonic())

    async def _handle(self, frame: FromClient, payload: memoryview) -> None:
        handler = self._handlers.get(type(frame))
        if handler is None:
            raise Breach(Close.FORBIDDEN, f"The role {self.hello.role} may not say this.")
        id_ = getattr(frame, "id", None)
        if id_ is not None:
            if id_ <= self._last_id:
                raise Breach(Close.DISORDER, "An id is not higher than the last.")
            self._last_id = id_
        try:
            await handler(frame, payload)
        except CaptionFlowError as exc:
            if isinstance(exc, Breach) or id_ is None:
                raise
            logger.debug("Not done for %s: %s", self.member, exc)
            await self.outbox.answer(refusal(id_, exc))

    async def _beat(self, beat: Beat, _payload: memoryview) -> None:
        """Pass on a last word, so that monitors see who is far away."""
        if not all(abs(value) <= MOST_FIGURE for value in beat.figures.values()):
            raise Breach(Close.MALFORMED, "A figure is no number.")
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        try:
            await self.common.job.beat(self._word(_shown(beat.state), beat))
        except CaptionFlowError as exc:
            logger.debug("No beat: %s", exc)

    async def _count(self, wanted: CountsWanted, _payload: memoryview) -> None:
        counts = await self.common.job.counts()
        await self.outbox.answer(Counted(wanted.id, counts))

    def _word(self, state: str, beat: Beat) -> Member:
        return Member(
            role=_MEMBERS.get(self.grant.role, self.grant.role),
            name=self.member,
            host=self.hello.host,
            pid=self.hello.pid,
            started=self._started,
            seen=time.time(),
            state=state,
            figures={_shown(name): value for name, value in beat.figures.items()},
            facts=_cut({_shown(name): _shown(fact) for name, fact in beat.facts.items()}),
        )

    # The end

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (exc := task.exception()) is None:
            return
        if not isinstance(exc, Breach | ConnectionClosed):
            logger.error("A session of %s has failed", self.grant.name, exc_info=exc)
        self.end(_end_of(exc))

    async def _part(self, desk: Desk, end: End) -> None:
        """Let go of what the client holds, and of its place."""
        if end.code not in {None, Close.SAID, Close.GOING}:
            self.common.figures.breaches += 1
            logger.warning("Closing on %s: %s", self.member, end.reason)
        else:
            logger.info("%s has gone", self.member)
        await desk.close(end)
        with suppress(CaptionFlowError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.common.admission.leave(self.grant, self.ticket)
                await self.common.job.leave(self._word("", Beat("", {})))

    async def _close(self, end: End) -> None:
        code = Close.GOING if end.code is None else end.code
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close(code, shortened(end.reason))
        except TimeoutError:  # what was sent before is not taken in
            self._connection.transport.abort()


def _end_of(exc: BaseException) -> End:
    if isinstance(exc, Breach):
        return End(exc.code, exc.reason)
    if isinstance(exc, ConnectionClosed):
        said = exc.rcvd is not None and exc.rcvd.code == Close.SAID
        return End(Close.SAID if said else None)
    return End(None, "The server has made a mistake.")


def _weight(frame: FromClient) -> float:
    once, each = _WEIGHTS.get(type(frame), _WEIGHT)
    return once + each * sum(len(part) for part in astuple(frame) if isinstance(part, tuple))


def _cut(facts: Mapping[str, str]) -> dict[str, str]:
    """Keep the first of them, and the beginning of the one that is too much."""
    kept, room = {}, MOST_FACTS
    for name, fact in facts.items():
        room -= len(name.encode())
        if room <= 0:
            break
        kept[name] = fact.encode()[:room].decode(errors="ignore")
        room -= len(kept[name].encode())
    return kept


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
