"""Proxy: what a worker says became of its samples goes to the queue, once it is judged.

Only what is held on the same channel is settled, and the queue's scripts look again at who holds
it. What was lost meanwhile is answered so, and nothing happens.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from caption_flow.model import EntryId, Failure, Outcomes, following
from caption_flow.proxy.desks import judge
from caption_flow.proxy.desks.channel import Channel
from caption_flow.queue.relay import Holding
from caption_flow.wire.frames import Complete, Defer, Did, Fail, Release, Settled, Suspect

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

MOST_NOTED = 64 << 10  # bytes of reasons of one sample, beyond which no more are kept


class Settling:
    """Settles for one session."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._common = session.common

    async def complete(self, channel: Channel, frame: Complete) -> None:
        """Move samples on with what stages made of them."""
        done, back = [], []
        for holding, (_, records) in zip(_held(channel, frame.done), frame.done, strict=True):
            if holding is None:
                continue
            outcomes = await self._judged(channel, holding, records)
            if outcomes is None:
                back.append(holding)
            else:
                done.append((holding, outcomes))
        ours = await self._complete(channel, done)
        if back:
            logger.info(
                "Handing back %d samples of %s, captioned by settings that are not known here",
                *(len(back), self._session.member),
            )
            await channel.queue.release(back)
            channel.forget([holding.entry for holding in back])
        await self._answer(frame.id, ours, [entry for entry, _ in frame.done])

    async def fail(self, channel: Channel, frame: Fail) -> None:
        """Give samples up."""
        client = self._client(channel)
        failed = [
            (holding, judge.failure(record, holding, client))
            for holding, (_, record) in zip(_held(channel, frame.failed), frame.failed, strict=True)
            if holding is not None
        ]
        ours = dict(zip(_entries(failed), await channel.queue.fail(failed), strict=True))
        self._common.figures.failed += sum(ours.values())
        channel.forget(ours)
        await self._answer(frame.id, ours, [entry for entry, _ in frame.failed])

    async def defer(self, channel: Channel, frame: Defer) -> None:
        """Hand back samples that failed, to be tried again after a while."""
        client = self._client(channel)
        holdings = _held(channel, frame.deferred)
        deferred: list[tuple[Holding, Failure, float]] = []
        full: list[Holding] = []
        for holding, (_, record, delay) in zip(holdings, frame.deferred, strict=True):
            if holding is None:
                continue
            why = judge.failure(record, holding, client)
            if holding.noted > MOST_NOTED:
                full.append(holding)
            else:
                deferred.append((holding, why, delay))
        await channel.queue.postpone(deferred)
        await channel.queue.release(full)
        channel.forget([holding.entry for holding in holdings if holding is not None])
        await self._session.outbox.answer(Did(frame.id))

    async def suspect(self, channel: Channel, frame: Suspect) -> None:
        """Note in advance why a sample will have failed."""
        [holding] = channel.mine([frame.entry])
        if holding is not None:
            why = judge.suspicion(frame.failure, holding, self._client(channel))
            if holding.noted <= MOST_NOTED and channel.suspects(holding):
                await channel.queue.suspect(holding, why)
        await self._session.outbox.answer(Did(frame.id))

    async def release(self, channel: Channel, frame: Release) -> None:
        """Hand samples back."""
        held = [holding for holding in channel.mine(frame.entries) if holding is not None]
        await channel.queue.release(held)
        channel.forget([holding.entry for holding in held])
        await self._session.outbox.answer(Did(frame.id))

    async def _judged(
        self, channel: Channel, holding: Holding, records: Sequence[bytes]
    ) -> Outcomes | None:
        """Judge outcomes; None where they are of settings that we have not seen."""
        made = judge.read(records)
        view = self._common.view
        if not made:
            order = view.newest.order if view.newest else ()
            moves = following(order, holding.passed) != holding.stage
            return () if moves else None
        version = made[0].settings_version
        if not view.of_version(version):
            await view.look_again()  # another proxy may have been told of it before us
        known = view.of_version(version)
        return judge.outcomes(made, holding, known, self._client(channel)) if known else None

    async def _complete(
        self, channel: Channel, done: Sequence[tuple[Holding, Outcomes]]
    ) -> Mapping[EntryId, bool]:
        ours = dict(zip(_entries(done), await channel.queue.complete(done), strict=True))
        made = {holding.entry for holding, outcomes in done if outcomes}
        self._common.figures.captions += sum(ours[entry] for entry in made)
        channel.forget(ours)
        return ours

    def _client(self, channel: Channel) -> judge.Client:
        session = self._session
        most = self._common.config.max_caption_bytes
        return judge.Client(session.grant.name, session.member, channel.stages, most)

    async def _answer(
        self, id_: int, ours: Mapping[EntryId, bool], entries: Sequence[EntryId]
    ) -> None:
        answer = Settled(id_, tuple(ours.get(entry, False) for entry in entries))
        await self._session.outbox.answer(answer)


def _held(
    channel: Channel, named: Sequence[tuple[EntryId, *tuple[object, ...]]]
) -> list[Holding | None]:
    return channel.mine([entry for entry, *_ in named])


def _entries(settled: Sequence[tuple[Holding, object]]) -> list[EntryId]:
    return [holding.entry for holding, _ in settled]
