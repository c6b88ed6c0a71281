"""Command line: where the samples of a worker come from: a Redis, or a proxy."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.entering import check_way, entered, entrance
from caption_flow.cli.laned import lanes_in, with_lanes
from caption_flow.cli.running import ASK_SECONDS, checked_redis, find_job
from caption_flow.config import WorkerConfig
from caption_flow.errors import ConfigError
from caption_flow.lifecycle import Drain
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.work import LanedWorkQueue
from caption_flow.queue.ports import Settings, WorkQueue
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.remote.job import RemoteJob
from caption_flow.remote.link import Link

logger = logging.getLogger(__name__)


class Workplace(Struct, frozen=True):
    """A job, and how a worker gets at its samples."""

    job: RedisJob | RemoteJob
    published: Settings  # as the worker begins
    name: str  # of the job
    config: WorkerConfig  # with the stages that may be served there
    queue: Callable[[str], WorkQueue]  # by the name of its consumer


@asynccontextmanager
async def workplace(
    config: WorkerConfig, name: str, drain: Drain
) -> AsyncIterator[Workplace | None]:
    """Find the job; None when asked to drain before there is one."""
    _check(config)
    places = _remote(config, name, drain) if config.server else _at_redis(config, drain)
    async with places as place:
        yield place


def _check(config: WorkerConfig) -> None:
    check_way(config)
    if not (config.server or config.redis):
        raise ConfigError(
            "No Redis is configured. Give --redis URL, or redis: in worker.yaml; "
            "or --server URL and a token, to come through a proxy."
        )


@asynccontextmanager
async def _at_redis(config: WorkerConfig, drain: Drain) -> AsyncIterator[Workplace | None]:
    async with checked_redis(str(config.redis), "worker", drain) as connections:
        found = await find_job(connections, config.job, drain)
        if found is None:
            yield None
            return
        one, published = found
        lanes = lanes_in(published)
        job = with_lanes(one, lanes)

        def queue(consumer: str) -> WorkQueue:
            if lanes > 1:
                return LanedWorkQueue(job, lanes, name=consumer)
            return RedisWorkQueue(job, name=consumer)

        yield Workplace(job, published, job.job, config, queue)


@asynccontextmanager
async def _remote(config: WorkerConfig, name: str, drain: Drain) -> AsyncIterator[Workplace | None]:
    async with entered(entrance(config, "worker", name), drain) as link:
        job = RemoteJob(link)
        published = await _published(job, link, drain)
        if published is None:
            yield None
        else:
            config = narrowed(config, link.welcome.stages)
            yield Workplace(job, published, link.welcome.job, config, lambda _: job.queue())


async def _published(job: RemoteJob, link: Link, drain: Drain) -> Settings | None:
    told = False
    while not drain.asked:
        if (published := await job.settings()) is not None:
            return published
        if not told:
            logger.info("Waiting for a job from %s", link.place)
            told = True
        await drain.wait(ASK_SECONDS)
    return None


def narrowed(config: WorkerConfig, granted: Sequence[str]) -> WorkerConfig:
    """Serve no other stages than the token is for: no model is loaded for the others."""
    if not granted:
        return config
    stages = tuple(name for name in config.stages or granted if name in granted)
    if not stages:
        raise ConfigError(f"stages: the token is for {', '.join(granted)} only.")
    return replace(config, stages=stages)
