"""How a process hears what operators want of it: it asks beside its work, from start to end."""

import asyncio
import logging
from typing import Self

from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside, Drain
from caption_flow.patience import Patience
from caption_flow.queue.ports import Commanded, Orders

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # between two looks for orders


class Ear(Beside):
    """Asks for as long as its context lasts; while nobody answers, what was heard last holds."""

    def __init__(self, queue: Commanded, *, name: str, drain: Drain) -> None:
        """`name` of the member; `drain` is asked when that is what operators want."""
        self.paused = False
        self._queue = queue
        self._name = name
        self._drain = drain

    async def __aenter__(self) -> Self:
        # Waited for: who starts in a pause shall not begin with work.
        self._follow(await Patience(self._drain)(lambda: self._queue.orders(self._name)))
        return await super().__aenter__()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._follow(await self._queue.orders(self._name))
            except CaptionFlowError as exc:
                logger.debug("No look at the orders: %s", exc)

    def _follow(self, orders: Orders) -> None:
        if orders.paused != self.paused:
            self.paused = orders.paused
            logger.info("The job is paused" if orders.paused else "The job goes on")
        if orders.drain and not self._drain.asked:
            logger.info("An operator wants this process to end")
            self._drain.ask()
