"""Command line: the prompts of a job against the columns of its data set."""

import asyncio

from msgspec.structs import replace

from caption_flow.cli.running import source_of
from caption_flow.cli.selecting import selection_of
from caption_flow.config import JobConfig
from caption_flow.dataset.source import Source
from caption_flow.feed.columns import check_columns
from caption_flow.lifecycle import Drain


async def check_prompts(config: JobConfig, source: Source, drain: Drain) -> None:
    """Refuse prompts that name columns which are not there."""
    await asyncio.to_thread(
        check_columns,
        config.needs(),
        selection_of(config.dataset),
        source,
        lambda: _afar(config, source),
        chosen=config.dataset.columns is not None,
        go_on=lambda: not drain.asked,
    )


def _afar(config: JobConfig, source: Source) -> Source:
    """Open the data set once more where the feeder was told to fetch what workers could."""
    if config.dataset.travel != "inline":
        return source
    return source_of(replace(config, dataset=replace(config.dataset, images="auto", fetch=None)))
