"""Proxy: what a session does for a worker: its channels, and each frame to its channel."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from caption_flow.errors import QueueUnreachable
from caption_flow.lifecycle import cancel
from caption_flow.proxy.desk import End, Handler
from caption_flow.proxy.desks.channel import Channel, consumer
from caption_flow.proxy.desks.settle import Settling
from caption_flow.proxy.hours import Shift
from caption_flow.queue.relay import RelayQueue
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import (
    Complete,
    Credit,
    Defer,
    Did,
    Fail,
    Fetch,
    Leave,
    Lost,
    Release,
    Renewal,
    Serve,
    Serving,
    Suspect,
)

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session


class WorkDesk:
    """Desk, see proxy/desk.py."""

    def __init__(self, session: "Session") -> None:
        settling = Settling(session)
        self.handlers: Mapping[type[Frame], Handler] = {
            Serve: self._serve,
            Credit: self._on_channel(self._credit),
            Fetch: self._on_channel(self._fetch),
            Renewal: self._on_channel(self._renew),
            Complete: self._on_channel(settling.complete),
            Fail: self._on_channel(settling.fail),
            Defer: self._on_channel(settling.defer),
            Suspect: self._on_channel(settling.suspect),
            Release: self._on_channel(settling.release),
            Leave: self._on_channel(self._leave),
        }
        self._session = session
        self._common = session.common
        self._channels: dict[int, Channel] = {}
        self._consumers: dict[int, RelayQueue] = {}  # of channels; may hold something
        self._claiming: dict[int, asyncio.Task[None]] = {}
        self._followed = self._common.view.newest
        self._shift = Shift(self._common.hours, session.grant)

    def look(self) -> None:
        """Follow other settings and orders."""
        newest = self._common.view.newest
        if newest is not None and newest is not self._followed:
            self._followed = newest
            for channel in self._channels.values():
                self._session.spawn(channel.follow(newest))
        for channel in self._channels.values():
            channel.wake()
        self._time()

    async def close(self, end: End) -> None:
        """Hand back what is held: at once, or if the client stays away."""
        self._shift.note(busy=False)
        queues = list(self._consumers.values())
        if end.code is Close.GOING or not queues:
            return  # it comes back to another proxy for what it holds, or its leases run out
        if end.resumable:
            self._common.abandon_later(queues)
        else:
            await self._common.abandon(queues, attempted=False)

    def _time(self) -> None:
        """Note whether anything is in hand from now on."""
        self._shift.note(busy=any(channel.held for channel in self._channels.values()))

    def _on_channel(self, handle: Callable[[Channel, Any], Awaitable[None]]) -> Handler:
        async def handler(frame: Any, _payload: memoryview) -> None:
            channel = self._channels.get(frame.channel)
            if channel is None:
                raise Breach(Close.DISORDER, "A channel is named that is not open.")
            await handle(channel, frame)

        return handler

    async def _serve(self, serve: Serve, _payload: memoryview) -> None:
        """Open a channel, or let it serve other stages."""
        view, session = self._common.view, self._session
        if view.newest is None:
            raise QueueUnreachable("The job has no settings yet.")
        channel = self._channels.get(serve.channel)
        if channel is not None:
            await channel.serve(serve, view.newest, view.stages)
            await session.outbox.answer(Serving(serve.id))
            return
        channel = Channel(serve.channel, session, self._channels, self._time)
        await channel.serve(serve, view.newest, view.stages)
        self._consumers[serve.channel] = channel.queue
        lost = await self._resume(channel, serve)
        self._channels[serve.channel] = channel
        self._time()  # what was taken up is in hand
        self._claiming[serve.channel] = session.spawn(channel.run_claims())
        session.spawn(channel.images.run())
        await session.outbox.answer(Serving(serve.id, lost))

    async def _resume(self, channel: Channel, serve: Serve) -> tuple[str, ...]:
        """Take up what the client held over its former connection; answers what was lost."""
        session, holding = self._session, frozenset(serve.holding)
        allowed = session.grant.stages
        stages = [s for s in self._common.view.stages if not allowed or s in allowed]
        # In the order in which it would have gone from one to the next.
        for former in (*serve.tickets, session.hello.resume):
            if former and session.hello.resume:
                name = consumer(session.grant.name, former, serve.channel)
                channel.keep(await channel.queue.adopt(name, stages, holding))
        lost = tuple(entry for entry in serve.holding if entry not in channel.held)
        channel.forget(lost)
        return lost

    async def _credit(self, channel: Channel, credit: Credit) -> None:
        channel.credit(credit)

    async def _fetch(self, channel: Channel, fetch: Fetch) -> None:
        channel.fetch(fetch)

    async def _renew(self, channel: Channel, renewal: Renewal) -> None:
        named = channel.mine(renewal.entries)
        held = [holding for holding in named if holding is not None]
        lost = await channel.queue.renew(held)
        channel.queue.drop([holding for holding in held if holding.entry in lost])
        channel.forget(lost)
        gone = tuple(entry for entry in renewal.entries if entry not in channel.held)
        await self._session.outbox.answer(Lost(renewal.id, gone))

    async def _leave(self, channel: Channel, leave: Leave) -> None:
        channel.images.close()
        await cancel(self._claiming.pop(leave.channel))
        del self._channels[leave.channel]
        self._time()
        await channel.queue.abandon(attempted=False)
        del self._consumers[leave.channel]
        await self._session.outbox.answer(Did(leave.id))
