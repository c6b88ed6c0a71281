"""Lanes, from the source to the parts: all is captioned once, whoever dies or forgets."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.feed.position import Position
from caption_flow.queue.connect import Connections
from caption_flow.queue.lanes.captions import LaneCaptionQueue
from caption_flow.queue.lanes.feed import LanedFeedQueue
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.lanes.work import LanedWorkQueue
from caption_flow.sink.sinks import Sinks
from caption_flow.sink.surveys import Surveys
from tests.made import LEASE, folder_source, pictures
from tests.roles import (
    JOB,
    Roles,
    ends,
    running,
    until,
)

LANES = 3
IMAGES = 90


class LanedRoles(Roles):
    """All roles of a job with three lanes."""

    def __init__(self, connections: Connections, root: Path) -> None:
        super().__init__(connections, root)
        self.whole = LanedJob(self.job, LANES)
        self.source = folder_source(pictures(root / "pictures", range(IMAGES)))

    def feed_queue(self, name: str = "") -> LanedFeedQueue:  # type: ignore[override]
        return LanedFeedQueue(
            self.job,
            LANES,
            name=name or self._name("feed"),
            stages=["caption"],
            lease_seconds=LEASE,
            again=lambda text: Position.decode(text).again("anew").encode(),
        )

    async def work_queue(self, name: str = "") -> LanedWorkQueue:  # type: ignore[override]
        queue = LanedWorkQueue(self.job, LANES, name=name or self._name("work"))
        await queue.serve(["caption"], lease_seconds=LEASE)
        return queue

    def sinks(self, rows: int = 7) -> Sinks:
        surveys = Surveys(LANES)
        return Sinks(
            [
                self.sink(
                    queue=LaneCaptionQueue(
                        self.job, LANES, lane=lane, name=self._name("sink"), lease_seconds=LEASE
                    ),
                    rows=rows,
                    surveys=surveys,
                )
                for lane in range(LANES)
            ]
        )

    async def flush(self, lane: int) -> None:
        await self.client.delete(*await self.client.keys(f"cf:{{{JOB}:{lane}}}:*"))

    def captioned(self) -> list[str]:
        found = [self.folder.file(part) for part in self.folder.published()]
        return sorted(id_ for file in found for id_ in pq.read_table(file)["id"].to_pylist())


@pytest.fixture
def laned(connections: Connections, tmp_path: Path) -> LanedRoles:
    """A job with three lanes, and a folder of images."""
    return LanedRoles(connections, tmp_path)


async def test_job_over_lanes_captions_each_image_once(laned: LanedRoles):
    async with running(laned.feeder(laned.source).run()), running((await a_worker(laned)).run()):
        await ends(laned.sinks().run())

    counts = await laned.whole.counts()
    assert laned.captioned() == names()
    assert (counts.done, counts.captioned) == (True, IMAGES)
    assert all([(await lane.counts()).captioned for lane in laned.whole.lanes])


@pytest.mark.parametrize("lane", range(LANES))
async def test_lane_flushed_halfway_loses_no_image_and_doubles_none(laned: LanedRoles, lane: int):
    async with (
        running(laned.feeder(laned.source).run()) as feeding,
        running((await a_worker(laned)).run()),
        running(laned.sinks().run()) as sinking,
    ):
        await until(lambda: len(laned.captioned()) >= IMAGES // 3)
        await laned.flush(lane)
        await feeding
        await ends(laned.feeder(laned.source).run())
        await ends(sinking)

    assert laned.captioned() == names()
    assert (await laned.whole.counts()).done


async def test_lanes_go_on_after_all_roles_were_killed(laned: LanedRoles):
    async with (
        running(laned.feeder(laned.source).run()),
        running((await a_worker(laned)).run()),
        running(laned.sinks().run()),
    ):
        await until(lambda: len(laned.captioned()) >= IMAGES // 3)
    for lane in laned.whole.lanes:
        await laned.expire(lane.lane.chunks, "feeders")
        await laned.expire(lane.lane.samples("caption"), "workers")
        await laned.expire(lane.lane.captions, "sinks")

    async with running(laned.feeder(laned.source).run()), running((await a_worker(laned)).run()):
        await ends(laned.sinks().run())

    assert laned.captioned() == names()


async def test_sinks_of_a_process_read_what_is_recorded_once(laned: LanedRoles):
    """In each lane; not as often as there are sinks."""
    async with running(laned.feeder(laned.source).run()), running((await a_worker(laned)).run()):
        await ends(laned.sinks().run())
    before = await calls(laned, "hgetall")

    await ends(laned.sinks().run())

    assert await calls(laned, "hgetall") - before == LANES


async def calls(laned: LanedRoles, command: str) -> int:
    stats = await laned.client.info("commandstats")
    return stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]


async def a_worker(laned: LanedRoles):
    engine = SimulatedEngine(SimulatedConfig(latency=(0.05, 0.1)), capacity=8)
    return await laned.worker(engine, exit_when_done=False)


def names() -> list[str]:
    return [f"{number:05}.jpg" for number in range(IMAGES)]
