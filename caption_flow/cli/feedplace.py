"""Command line: where the samples of a feeder go: into a Redis, or to a proxy."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.entering import check_way, entered, entrance, let_in
from caption_flow.cli.laned import refuse_other_lanes
from caption_flow.cli.naming import job_name
from caption_flow.cli.running import checked_redis, redis_url
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.feed.position import Position
from caption_flow.feed.whereabouts import FolderWhereabouts, Whereabouts
from caption_flow.lifecycle import Drain
from caption_flow.patience import Patience
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.feed import LanedFeedQueue
from caption_flow.queue.ports import Budget
from caption_flow.remote.feed import RemoteFeedQueue


class Feedplace(Struct, frozen=True):
    """A job, and how a feeder gets its samples in."""

    job: str
    queue: RedisFeedQueue | LanedFeedQueue | RemoteFeedQueue
    whereabouts: Whereabouts
    images: ImagesConfig  # as they may travel there
    budget: Budget
    lease_seconds: float
    lanes: int = 1  # each with such a budget, where they are known here

    def of_all_lanes(self, figures: dict[str, float]) -> dict[str, float]:
        """Tell of the budget of the whole job."""
        budgets = {"budget_bytes", "budget_samples"}
        return {
            name: value * self.lanes if name in budgets else value
            for name, value in figures.items()
        }


@asynccontextmanager
async def feedplace(
    config: JobConfig, settings: Broadcast, name: str, drain: Drain
) -> AsyncIterator[Feedplace]:
    """Find the way in."""
    check_way(config)
    places = (
        _remote(config, name, drain) if config.server else _at_redis(config, settings, name, drain)
    )
    async with places as place:
        yield place


@asynccontextmanager
async def _at_redis(
    config: JobConfig, settings: Broadcast, name: str, drain: Drain
) -> AsyncIterator[Feedplace]:
    job, size = job_name(config), config.budget.bytes
    async with checked_redis(redis_url(config), "feed", drain, budget=size) as connections:
        found, lanes = RedisJob(connections, job), config.lanes
        refuse_other_lanes(await Patience(drain)(found.settings), job, lanes)
        queue = feed_queue(found, config, settings, name)
        folder = PartFolder(Path(config.storage.data_dir), job)
        yield Feedplace(
            job=job,
            queue=queue,
            whereabouts=FolderWhereabouts(queue, folder),
            images=config.images,
            budget=_budget(config, lanes),
            lease_seconds=config.lease_seconds,
            lanes=lanes,
        )
        await queue.close()


def feed_queue(
    job: RedisJob, config: JobConfig, settings: Broadcast, name: str
) -> RedisFeedQueue | LanedFeedQueue:
    """Give the queue of a feeder that reaches Redis."""
    stages, lease = [stage.name for stage in settings.stages], config.lease_seconds
    if config.lanes == 1:
        return RedisFeedQueue(job, name=name, stages=stages, lease_seconds=lease)
    return LanedFeedQueue(
        job, config.lanes, name=name, stages=stages, lease_seconds=lease, again=_again
    )


def _again(position: str) -> str:
    return Position.decode(position).again(secrets.token_hex(4)).encode()


@asynccontextmanager
async def _remote(config: JobConfig, name: str, drain: Drain) -> AsyncIterator[Feedplace]:
    async with entered(entrance(config, "feeder", name), drain) as link:
        await let_in(link, drain)
        queue, welcome, ours = RemoteFeedQueue(link), link.welcome, _budget(config)
        bytes_, samples = welcome.budget
        images, most = config.images, welcome.most_image
        yield Feedplace(
            job=welcome.job,
            queue=queue,
            whereabouts=queue,
            images=replace(images, max_bytes=min(images.max_bytes, most)) if most else images,
            budget=Budget(bytes=min(ours.bytes, bytes_), samples=min(ours.samples, samples)),
            lease_seconds=welcome.lease_seconds or config.lease_seconds,
        )


def _budget(config: JobConfig, lanes: int = 1) -> Budget:
    """Give each lane its share."""
    size, samples = config.budget.bytes // lanes, config.budget.samples // lanes
    return Budget(bytes=size, samples=max(1, samples))
