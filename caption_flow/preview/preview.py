"""Preview: samples through all stages, each with the engine that it needs, as in a worker."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.port import Engine
from caption_flow.errors import EngineDead, EngineGone
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import Lease, Offer, Outcomes
from caption_flow.preview.listener import Listener
from caption_flow.preview.told import Passage, Shown
from caption_flow.worker.caption import Captioner
from caption_flow.worker.duty import Duty, Visit
from caption_flow.worker.hire import MOST_THREADS
from caption_flow.worker.meter import Meter
from caption_flow.worker.served import Served
from caption_flow.worker.verdict import Verdict, verdict

_VERSION = 0  # of settings that nobody published


class Seat(Struct, frozen=True):
    """An engine, and what it is asked for."""

    listener: Listener
    captioner: Captioner
    duty: Duty


class Preview:
    """Captions samples by one setting."""

    def __init__(self, settings: Broadcast, drain: Drain) -> None:
        self._settings = settings
        self._drain = drain.part()  # an engine that is gone asks it
        self._seats: list[Seat] = []

    async def caption(
        self,
        needed: Sequence[Served],
        engines: Sequence[Engine],
        offers: Sequence[Offer],
        show: Callable[[Shown], None],
    ) -> list[Shown]:
        """Caption all samples side by side, and show each in its turn, as soon as it is done.

        Raises EngineGone; what is wrong with one sample is shown of it.
        """
        async with AsyncExitStack() as stack:
            for each, engine in zip(needed, engines, strict=True):
                seat = self._seat(each, engine)
                stack.callback(seat.captioner.close)
                await stack.enter_async_context(seat.listener)
                self._seats.append(seat)
            return await self._shown(offers, show)

    def _seat(self, each: Served, engine: Engine) -> Seat:
        listener = Listener(
            engine,
            timeout=self._settings.engine_timeout,
            meter=Meter(engine.capacity),
            drain=self._drain,
        )
        captioner = Captioner(
            listener,
            drain=self._drain,
            worker="",
            contributor="",
            threads=min(MOST_THREADS, os.cpu_count() or 1),
        )
        return Seat(listener, captioner, Duty.of(self._settings, _VERSION, stages=each.stages))

    async def _shown(self, offers: Sequence[Offer], show: Callable[[Shown], None]) -> list[Shown]:
        tasks = [asyncio.create_task(self._one(offer, n)) for n, offer in enumerate(offers)]
        shown = []
        try:
            for task in tasks:
                shown.append(await task)
                show(shown[-1])
        finally:
            await cancel(*tasks)
        return shown

    async def _one(self, offer: Offer, number: int) -> Shown:
        if offer.failure is not None:
            why = Verdict(offer.failure.reason, offer.failure.detail)
            return Shown(offer.sample, failure=why)
        return await _Walk(self._seats, offer, entry=f"0-{number}").go()


class _Walk:
    """The way of one sample from engine to engine."""

    def __init__(self, seats: Sequence[Seat], offer: Offer, *, entry: str) -> None:
        self._seats = seats
        self._offer = offer
        self._entry = entry
        self._outcomes: Outcomes = ()
        self._passages: list[Passage] = []

    async def go(self) -> Shown:
        """Pass all stages, or as many as can be."""
        sample = self._offer.sample
        while (seat := self._next()) is not None:
            lease = Lease(self._entry, "", sample, "", attempt=1, outcomes=self._outcomes)
            visit = Visit(lease, seat.duty)
            try:
                await self._lead(seat.captioner, visit)
            except EngineGone:
                raise
            except Exception as exc:  # around one sample: others go on
                failed = visit.stage
                self._note(seat, visit)
                stage = failed.name if failed else ""
                return Shown(sample, tuple(self._passages), verdict(exc), stage)
            self._note(seat, visit)
            self._outcomes = visit.outcomes
        return Shown(sample, tuple(self._passages))

    def _next(self) -> Seat | None:
        return next((s for s in self._seats if s.duty.ahead(self._outcomes)), None)

    async def _lead(self, captioner: Captioner, visit: Visit) -> None:
        try:
            async with captioner.admitted(alone=False):
                await captioner.lead(visit, self._offer.image, _enter)
        except EngineDead:
            # Whoever was beside it may be to blame.
            async with captioner.admitted(alone=True):
                await captioner.lead(visit, self._offer.image, _enter)

    def _note(self, seat: Seat, visit: Visit) -> None:
        """Keep what was heard in this visit."""
        sample = self._offer.sample.id
        passed = {outcome.stage for outcome in self._outcomes}
        for stage in seat.duty.stages.values():
            if stage.name not in passed:
                made = any(outcome.stage == stage.name for outcome in visit.made)
                answers = visit.answers.get(stage.name, []) if made else []
                if told := seat.listener.told(sample, stage.name, answers):
                    self._passages.append(Passage(stage, told))


def _enter() -> None:
    pass
