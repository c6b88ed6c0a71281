"""Queue: what is asked by who gives orders, as a protocol."""

from typing import Protocol

from caption_flow.queue.ports.job import Member, Order


class Operator(Protocol):
    """What is asked by who gives orders to the processes of a job."""

    async def pause(self, order: Order) -> Order | None:
        """Let nobody take on anything new; answers the order by which that is so already."""
        ...

    async def resume(self) -> Order | None:
        """Let all go on; answers the order that was lifted, None where there was none."""
        ...

    async def drain(self, member: str, order: Order) -> None:
        """Let one process end cleanly."""
        ...

    async def members(self) -> dict[str, Member]:
        """Read the last words of those heard of lately, by role and name."""
        ...
