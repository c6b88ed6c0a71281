"""`caption-flow feed`: put a data set's images into the queue."""

import asyncio
import os
from pathlib import Path

import click

from caption_flow import traces
from caption_flow.cli.bar import Bar
from caption_flow.cli.entering import entering
from caption_flow.cli.feed_bar import FeedBar
from caption_flow.cli.feedplace import feedplace
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.naming import dataset_identity
from caption_flow.cli.options import (
    data_options,
    networks,
    overrides,
    publishing_config,
    telling_option,
)
from caption_flow.cli.rehearsing import rehearse
from caption_flow.cli.running import run_async, source_of
from caption_flow.cli.selecting import selected, selecting, selection_of
from caption_flow.cli.telling import Looking, Teller, telling
from caption_flow.cli.wording import check_prompts
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import broadcast
from caption_flow.dataset.source import Source
from caption_flow.ear import Ear
from caption_flow.engine.aside import aside
from caption_flow.feed.feeder import Feeder
from caption_flow.feed.freed import keep_freed_memory
from caption_flow.feed.memory import bring
from caption_flow.feed.planner import Planner
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Beside, Drain, cancel
from caption_flow.logs import speak_as
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.patience import Interrupted, Patience


@click.command("feed")
@click.argument("path", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be fed, and feed nothing.")
@selecting
@entering
@measured
@networks
@telling_option
@data_options
def command(
    path: str | None,
    way: dict[str, object],
    measures: dict[str, object],
    progress: str | None,
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
    limit: int | None,
    shards: tuple[str, ...],
    sample: str | None,
    dry_run: bool,
) -> None:
    """Put the images of a data set into the queue.

    PATH is the data set, unless the document says: a folder, a file, a URL, a place on the hub.
    Several feeders may share one job. Feeding again adds what is new.
    """
    made = overrides(
        changes,
        dataset__dataset_path=path,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
        **way,
        **measures,
        **selected(limit, shards, sample),
    )
    keep_freed_memory()
    with telling("feed", progress) as teller:
        config = publishing_config("feed", explicit, made, dict(os.environ))
        if dry_run:
            click.echo(rehearse(config))
            return
        with measuring("feed", config) as vitals:
            feeder = run_async(lambda drain: _feed(config, teller.follow(drain), teller, vitals))
        click.echo(feeder.report())


async def _feed(config: JobConfig, drain: Drain, teller: Teller, vitals: Vitals) -> Feeder:
    settings = broadcast(config)
    async with _Leaving(drain):
        source = await _opened(config, drain)
        await check_prompts(config, source, drain)
    name = member_name("feed")
    async with feedplace(config, settings, name, drain) as place:
        queue = place.queue
        memory = await Patience(drain)(
            lambda: bring(queue, settings, dataset_identity(config), place.whereabouts)
        )
        planner = Planner(
            queue,
            source,
            place.whereabouts,
            introduce=memory.introduce,
            chunk_size=config.chunk_size,
            drain=drain,
            selection=selection_of(config.dataset),
        )
        ear = Ear(queue, name=name, drain=drain)
        feeder = Feeder(
            queue,
            source,
            planner,
            images=place.images,
            budget=place.budget,
            lease_seconds=place.lease_seconds,
            drain=drain,
            paused=lambda: ear.paused,
        )
        heralding = Herald(
            queue,
            role="feed",
            name=name,
            figures=lambda: place.of_all_lanes(feeder.figures()),
            facts=feeder.facts,
            paused=lambda: ear.paused,
            draining=lambda: drain.asked,
        )
        teller.learn(job=place.job)
        speak_as(job=place.job, member=name)
        vitals.job = place.job
        traces.begin("feed", place.job, name)
        looking, pulse = Looking(teller, heralding, queue.counts), Pulse(vitals, heralding)
        with Bar(wanted=not teller.wanted, speed=True) as bar:
            showing = FeedBar(bar, queue.counts, feeder.figures)
            async with _Leaving(drain), memory, heralding as herald, looking, pulse, ear, showing:
                herald.state = "working"
                await feeder.run()
    return feeder


async def _opened(config: JobConfig, drain: Drain) -> Source:
    """Open the source, which may ask a server far away; Interrupted when we should end meanwhile.

    Who opens is left behind then.
    """
    opening = asyncio.create_task(aside(lambda: source_of(config)))
    asked = asyncio.create_task(drain.wait())
    await asyncio.wait({opening, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if opening.done():
        return opening.result()
    await cancel(opening)
    raise Interrupted("Stopped before the data set was open.")


class _Leaving(Beside):
    """Leaves the downloads of the source when asked to drain: one may take minutes."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    async def _run(self) -> None:
        await self._drain.wait()
        from caption_flow.fetch.blocking import abandon  # noqa: PLC0415 - most sources need none

        abandon()
