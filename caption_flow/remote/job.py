"""Remote: WorkJob and Membership through a proxy, which tells the settings by itself."""

from collections.abc import Sequence

from caption_flow.model import Counts
from caption_flow.queue.ports import Member, Orders, Settings
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from caption_flow.wire.frames import Beat

_LONGEST = 1000  # characters of a state
_MOST_FIGURES = 100
_MOST_FACTS = 20


class RemoteJob:
    """The job that a proxy serves, for a process of workers."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def orders(self, member: str) -> Orders:  # noqa: ARG002 - the proxy knows who we are
        """Say what operators want of this process, as the proxy told it last."""
        told = self._link.orders
        return Orders(paused=told.paused, drain=told.drain)

    async def news(self) -> None:
        """Wait for other settings or orders; raises what ends the connection for good."""
        await self._link.news()

    def queue(self) -> RemoteWorkQueue:
        """Make what one engine works from."""
        return RemoteWorkQueue(self._link)

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        self._check()
        return self._link.settings

    async def settings_mark(self) -> str | None:
        """Tell the settings from others, see Settings; None while nobody has published any."""
        self._check()
        return self._link.mark

    async def former_stages(self, stages: Sequence[str]) -> list[str]:
        """Name the stages that the job once had beside these: samples may wait in them still."""
        return sorted(set(self._link.stages).difference(stages))

    async def counts(self) -> Counts:
        """Read the books."""
        return await self._link.counts()

    async def beat(self, member: Member) -> None:
        """Leave a last word."""
        figures = dict(list(member.figures.items())[:_MOST_FIGURES])
        facts = {name: fact[:_LONGEST] for name, fact in list(member.facts.items())[:_MOST_FACTS]}
        self._link.tell(Beat(member.state[:_LONGEST], figures, facts))

    async def leave(self, member: Member) -> None:
        """Say goodbye: the end of the connection says it."""

    def _check(self) -> None:
        if self._link.failure is not None:
            raise self._link.failure
