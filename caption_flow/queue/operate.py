"""Queue: what an operator wants of the processes of a job; they ask for it twice a second.

An order to pause holds until it is lifted, one to drain until its member has left. Both are of the
job as it stands: a server that was emptied has none.
"""

import msgspec

from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Order


class RedisOperator(RedisJob):
    """Gives orders, and takes them back."""

    async def pause(self, order: Order) -> Order | None:
        """Let nobody take on anything new; answers the order by which that is so already."""
        with translated():
            new = await self.client.hsetnx(self.keys.orders, keys.PAUSED, _word(order))
        return None if new else (await self.standing_orders()).paused

    async def resume(self) -> Order | None:
        """Let all go on; answers the order that was lifted, None where there was none."""
        paused = (await self.standing_orders()).paused
        with translated():
            await self.client.hdel(self.keys.orders, keys.PAUSED)
        return paused

    async def drain(self, member: str, order: Order) -> None:
        """Let one process end cleanly."""
        with translated():
            await self.client.hset(self.keys.orders, keys.drained(member), _word(order))


def _word(order: Order) -> bytes:
    return msgspec.json.encode(order)
