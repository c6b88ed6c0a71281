"""Command line: where the samples of a worker come from: a Redis, or a proxy."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.running import ASK_SECONDS, checked_redis, find_job
from caption_flow.config import WorkerConfig
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.lifecycle import Drain, cancel
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Settings, WorkQueue
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.remote.entrance import Entrance, member_word
from caption_flow.remote.job import RemoteJob
from caption_flow.remote.link import Link

logger = logging.getLogger(__name__)


class Workplace(Struct, frozen=True):
    """A job, and how a worker gets at its samples."""

    job: RedisJob | RemoteJob
    published: Settings  # as the worker begins
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
    if config.server and config.redis:
        raise ConfigError(
            "Both a Redis and a server are configured (--redis, --server, worker.yaml or "
            "variables). A worker comes through one of the two: take the other away."
        )
    if not (config.server or config.redis):
        raise ConfigError(
            "No Redis is configured. Give --redis URL, or redis: in worker.yaml; "
            "or --server URL and a token, to come through a proxy."
        )
    if config.server and not config.token:
        raise ConfigError(
            "token is missing. Give the one that the operator of the job has made for you, as "
            "CAPTION_FLOW_TOKEN, as token: in worker.yaml or with --token."
        )


@asynccontextmanager
async def _at_redis(config: WorkerConfig, drain: Drain) -> AsyncIterator[Workplace | None]:
    async with checked_redis(str(config.redis), "worker", drain) as connections:
        found = await find_job(connections, config.job, drain)
        if found is None:
            yield None
            return
        job, published = found
        yield Workplace(job, published, config, lambda consumer: RedisWorkQueue(job, name=consumer))


@asynccontextmanager
async def _remote(config: WorkerConfig, name: str, drain: Drain) -> AsyncIterator[Workplace | None]:
    entrance = Entrance(
        str(config.server),
        str(config.token).strip(),
        role="worker",
        member=member_word(name),
        verify_ssl=config.verify_ssl,
        ca_cert=Path(config.ca_cert) if config.ca_cert else None,
    )
    async with Link(entrance) as link:
        job = RemoteJob(link)
        watching = asyncio.create_task(_watch(job, drain))
        try:
            published = await _published(job, link, drain)
            if published is None:
                yield None
            else:
                config = narrowed(config, link.welcome.stages)
                yield Workplace(job, published, config, lambda _: job.queue())
        finally:
            await cancel(watching)
        if link.failure is not None:
            raise link.failure


async def _watch(job: RemoteJob, drain: Drain) -> None:
    """Drain when the proxy turns us away for good: nobody else may be asking it."""
    try:
        while True:
            await job.news()
    except CaptionFlowError:
        drain.ask()


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
