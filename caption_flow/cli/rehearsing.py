"""Command line: what `feed` would do, told without doing it."""

import asyncio
import logging
from pathlib import Path

from caption_flow.cli.bar import Bar
from caption_flow.cli.entering import entered, entrance, let_in
from caption_flow.cli.feedplace import feed_queue
from caption_flow.cli.laned import refuse_other_lanes
from caption_flow.cli.naming import job_name
from caption_flow.cli.running import embedded_directory, run_async, source_of
from caption_flow.cli.selecting import selection_of
from caption_flow.cli.wording import check_prompts
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import broadcast
from caption_flow.config.sizes import spelt
from caption_flow.dataset.known import Known, known_in
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import QueueUnreachable
from caption_flow.feed.survey import Survey, survey
from caption_flow.herald import member_name
from caption_flow.lifecycle import Drain
from caption_flow.patience import Patience
from caption_flow.queue.connect import connect
from caption_flow.queue.embedded import running_url
from caption_flow.queue.job import RedisJob
from caption_flow.remote.feed import RemoteFeedQueue

logger = logging.getLogger(__name__)


def rehearse(config: JobConfig) -> str:
    """Say how much would be fed."""
    return run_async(lambda drain: _rehearse(config, drain))


async def _rehearse(config: JobConfig, drain: Drain) -> str:
    source = await asyncio.to_thread(source_of, config)
    await check_prompts(config, source, drain)
    known = await (_known_there(config, drain) if config.server else _known_here(config))
    selection = selection_of(config.dataset)
    with Bar(speed=True) as bar:
        found = await asyncio.to_thread(
            survey,
            source,
            known,
            selection,
            go_on=lambda: not drain.asked,
            seen=lambda met: bar.show("looking at samples", met, config.dataset.limit),
        )
    stopped = "Stopped early. " if drain.asked else ""
    return stopped + _sentence(found)


async def _known_here(config: JobConfig) -> Known:
    folder = PartFolder(Path(config.storage.data_dir), job_name(config))
    return await asyncio.to_thread(known_in, folder, (), await _met(config))


async def _known_there(config: JobConfig, drain: Drain) -> Known:
    """Ask a proxy, which sees the parts as well."""
    async with entered(entrance(config, "feeder", member_name("feed")), drain) as link:
        await let_in(link, drain)
        return await Patience(drain)(lambda: RemoteFeedQueue(link).known(later=True))


async def _met(config: JobConfig) -> list[str]:
    """Name the samples that Redis has met, where there is one: given up, or on their way."""
    url = config.redis or running_url(embedded_directory(config))
    if url is None:
        return []
    try:
        async with connect(url, role="feed") as connections:
            job = RedisJob(connections, job_name(config))
            refuse_other_lanes(await job.settings(), job.job, config.lanes)
            queue = feed_queue(job, config, broadcast(config), member_name("feed"))
            return [*await queue.underway(), *await queue.dead_ids()]
    except QueueUnreachable as exc:
        logger.warning("%s What is on its way, if anything, is counted as new", exc)
        return []


def _sentence(found: Survey) -> str:
    size = "of unknown size" if found.bytes is None else spelt(found.bytes)
    if not found.samples and not found.known:
        return "Would feed nothing: no sample of that kind is there. Check the path and the choice."
    return (
        f"Would feed {found.samples:,} samples ({size}) of {found.shards:,} shards; "
        f"would skip {found.known:,} known."
    )
