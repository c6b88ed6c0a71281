"""Preview: the engines that are loaded, from one setting to the next.

Those of one setting are loaded side by side, as in a worker. What the next one does not need is
stopped before anything is loaded for it, since both may not fit.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.port import Engine
from caption_flow.worker.served import Served

logger = logging.getLogger(__name__)

MakeEngine: TypeAlias = Callable[[Broadcast, Served], Engine]


class _Seat(Struct, frozen=True):
    engine: Engine
    share: int  # of how many engines on one device it was started as one


class Loaded:
    """Engines by the keys that tell them apart."""

    def __init__(self, make: MakeEngine) -> None:
        self._make = make
        self._seats: dict[bytes, _Seat] = {}

    async def provide(self, settings: Broadcast, needed: Sequence[Served]) -> list[Engine]:
        """Have the engines that are needed, and no others; answers them in that order."""
        for key in [key for key, seat in self._seats.items() if not _serves(key, seat, needed)]:
            await self._dismiss(key)
        for each in needed:
            if each.key not in self._seats:
                await self._load(settings, each)
            else:
                for stage in each.stages:
                    await self._seats[each.key].engine.rehearse(stage)
        return [self._seats[each.key].engine for each in needed]

    async def close(self) -> None:
        """Stop them all."""
        for key in list(self._seats):
            await self._dismiss(key)

    async def _load(self, settings: Broadcast, each: Served) -> None:
        engine = self._make(settings, each)
        self._seats[each.key] = _Seat(engine, each.share)  # to be stopped, started or not
        logger.info("Loading the engine %s (%s)", engine.name, engine.model)
        await engine.start()

    async def _dismiss(self, key: bytes) -> None:
        await self._seats.pop(key).engine.stop()


def _serves(key: bytes, seat: _Seat, needed: Sequence[Served]) -> bool:
    """Whether an engine is still needed, and has no more of its device than it may have."""
    return any(each.key == key and seat.share >= each.share for each in needed)
