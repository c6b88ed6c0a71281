"""A job of three lanes on a real server, made in a few words."""

from collections.abc import Sequence

from caption_flow.queue.connect import Connections
from caption_flow.queue.lanes.captions import LaneCaptionQueue
from caption_flow.queue.lanes.dead import LanedDeadLetters
from caption_flow.queue.lanes.feed import LanedFeedQueue
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.lanes.office import LanedOffice
from caption_flow.queue.lanes.work import LanedWorkQueue
from tests.queue.ledger import read_ledger
from tests.queue.shop import LEASE_SECONDS, Shop

LANES = 3


class LanedShop(Shop):
    """Its roles serve all lanes; a sink serves one."""

    def __init__(self, connections: Connections, *stages: str) -> None:
        super().__init__(connections, *stages)
        self.whole = LanedJob(self.job, LANES)

    def feeder(self, name: str = "feeder", host: str = "") -> LanedFeedQueue:  # type: ignore[override]
        del host
        return LanedFeedQueue(
            self.job,
            LANES,
            name=name,
            stages=self.stages,
            lease_seconds=LEASE_SECONDS,
            again=lambda position: f"again after {position}",
        )

    async def worker(  # type: ignore[override]
        self,
        name: str = "worker",
        contributor: str = "",
        *,
        order: Sequence[str] = (),
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> LanedWorkQueue:
        del contributor
        worker = LanedWorkQueue(self.job, LANES, name=name)
        stages = order or self.stages
        await worker.serve(stages, only=only, former=former, lease_seconds=LEASE_SECONDS)
        return worker

    def lane_sink(self, lane: int, name: str = "sink") -> LaneCaptionQueue:
        """Give the sink of a lane."""
        return LaneCaptionQueue(self.job, LANES, lane=lane, name=name, lease_seconds=LEASE_SECONDS)

    @property
    def inspector(self) -> LanedOffice:
        """Look at all lanes."""
        return LanedOffice(self.job, LANES)

    @property
    def dead(self) -> LanedDeadLetters:  # type: ignore[override]
        """The dead letters of all lanes."""
        return LanedDeadLetters(self.job, LANES)

    async def check_books(self) -> None:
        """Compare the books of each lane with what its streams hold."""
        for lane in self.whole.lanes:
            (await read_ledger(lane, self.stages)).check()

    async def flush(self, lane: int) -> None:
        """Let one lane forget everything."""
        tag = f"cf:{{job:{lane}}}:*"
        await self.redis.delete(*await self.redis.keys(tag))
