"""Command line: what every role needs to run: an event loop, a checked Redis, the job's name."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from caption_flow.cli.naming import dataset_path, dataset_type, refuse_own_captions
from caption_flow.config import DownloadConfig, JobConfig
from caption_flow.dataset.source import Source, SourceOptions, open_source
from caption_flow.errors import ConfigError
from caption_flow.fetch import DownloadLimits
from caption_flow.lifecycle import Drain, fastest_loop
from caption_flow.patience import Patience
from caption_flow.queue.connect import Connections, check_server, connect
from caption_flow.queue.embedded import running_url
from caption_flow.queue.fitness import cramped
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.ports import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

ASK_SECONDS = 0.25  # between two looks for a job that is not there yet
EMBEDDED = ".redis"  # under the data directory: the embedded server's own files


def run_async(main: Callable[[Drain], Awaitable[T]]) -> T:
    """Run a role on the fastest event loop there is, and let signals drain it."""

    drain = Drain()

    async def drained() -> T:
        drain.on_signals()
        return await main(drain)

    try:
        with asyncio.Runner(loop_factory=fastest_loop()) as runner:
            return runner.run(drained())
    finally:
        drain.stay_on_signals()


@asynccontextmanager
async def checked_redis(
    url: str, role: str, drain: Drain, *, budget: int = 0, most: int | None = None
) -> AsyncIterator[Connections]:
    """Connect, wait for the server if need be, and refuse one that would lose samples.

    `budget`: bytes of the job, where they are known. `most`: see `connect`.
    """
    async with connect(url, role=role, most=most) as connections:
        facts = await Patience(drain)(lambda: check_server(connections.commands))
        for warning in filter(None, (*facts.warnings, cramped(facts, budget))):
            logger.warning("%s", warning)
        yield connections


async def find_job(
    connections: Connections, name: str | None, drain: Drain
) -> tuple[RedisJob, Settings] | None:
    """Wait until there is a job with settings; None when asked to drain first."""
    patience = Patience(drain)
    told = False
    while not drain.asked:
        found = name or await patience(lambda: only_job(connections))
        if found is not None:
            job = RedisJob(connections, found)
            published = await patience(job.settings)
            if published is not None:
                return job, published
        if not told:
            logger.info("Waiting for a job on %s", connections.host)
            told = True
        await drain.wait(ASK_SECONDS)
    return None


def redis_url(config: JobConfig) -> str:
    """Say which Redis a role uses: the configured one, or the embedded one that is running."""
    url = config.redis or running_url(embedded_directory(config))
    if url is None:
        raise ConfigError(
            "No Redis is configured. Give --redis URL, or redis: in the document; or use "
            '"caption-flow run" or "caption-flow orchestrator", which start one of their own.'
        )
    return url


def embedded_directory(config: JobConfig) -> Path:
    """Where an embedded server keeps its files."""
    return Path(config.storage.data_dir) / EMBEDDED


def source_of(config: JobConfig) -> Source:
    """Open the data set."""
    refuse_own_captions(config)
    return open_source(dataset_type(config), source_options(config))


def source_options(config: JobConfig) -> SourceOptions:
    """Say what its source has to know of the data set."""
    dataset = config.dataset
    return SourceOptions(
        path=dataset_path(config),
        name=dataset.name,
        revision=dataset.revision,
        split=dataset.split,
        subset=dataset.dataset_config,
        extra=dataset.options,
        image_column=dataset.dataset_image_column,
        url_column=dataset.dataset_url_column,
        columns=dataset.columns,
        image_root=dataset.image_root,
        images=dataset.travel,
        cache_dir=dataset.cache_dir,
        allow_networks=dataset.allow_networks,
        download=download_limits(dataset.download),
        recursive=dataset.recursive,
        follow_symlinks=dataset.follow_symlinks,
        max_file_size=dataset.max_file_size,
        sidecars=dataset.sidecars,
    )


def download_limits(config: DownloadConfig) -> DownloadLimits:
    """Give the downloads of a job the limits it configures."""
    return DownloadLimits(**{name: getattr(config, name) for name in config.__struct_fields__})
