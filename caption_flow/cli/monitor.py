"""`caption-flow monitor`: a job at a glance, on the whole screen, until somebody quits."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import click
from rich.console import RenderableType

from caption_flow.cli.asking import Asked, Job, at_redis, office_of, through_proxy
from caption_flow.cli.entering import check_way, entering
from caption_flow.cli.options import job_config, located, overrides, warn
from caption_flow.cli.printing import printing
from caption_flow.cli.screen.screen import Screen
from caption_flow.cli.screen.terminal import usable
from caption_flow.cli.showing import console_here, show
from caption_flow.cli.status_report import report
from caption_flow.config import MonitorConfig, load_monitor
from caption_flow.errors import QueueUnreachable
from caption_flow.monitor.speeds import Speeds
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Snapshot


@click.command("monitor")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder for captions, of a job that has a Redis of its own.",
)
@entering
@located
def command(
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    data_dir: Path | None,
    way: dict[str, object],
) -> None:
    """Show a job on the whole screen, live; ? lists the keys, q quits."""
    loaded = load_monitor(explicit, overrides((), redis=redis, job=job, **way))
    warn(loaded.warnings)
    with suppress(KeyboardInterrupt), _job(loaded.config, data_dir) as watched:
        watched.ask(lambda found: _watch(found, loaded.config))


@contextmanager
def _job(config: MonitorConfig, data_dir: Path | None) -> Iterator[Asked]:
    """Give the job that is meant; one that has a Redis of its own is found as `status` does."""
    check_way(config)
    if config.server:
        yield through_proxy(config)
        return
    if config.redis:
        yield at_redis(Job(config.redis, "monitor", config.job))
        return
    made = overrides((), job=config.job, storage__data_dir=data_dir)
    with office_of(job_config("status", None, made, dict(os.environ)), "monitor") as job:
        yield job


async def _watch(office: Office, config: MonitorConfig) -> None:
    """Show the job on the whole screen; where there is none, in blocks now and then."""
    if usable():
        await Screen(office, config).run()
    else:
        await _in_blocks(office, config)


async def _in_blocks(office: Office, config: MonitorConfig) -> None:
    console, speeds = console_here(), Speeds()

    def made(snapshot: Snapshot, width: int) -> RenderableType:
        speeds.note(snapshot.members)
        return report(
            office.job,
            snapshot,
            speeds,
            width,
            contributors=config.show_contributors,
            graph=config.show_throughput_graph,
            ascii_only=console.options.ascii_only,
        )

    while True:
        try:
            snapshot = await office.snapshot()
        except QueueUnreachable as exc:
            click.echo(str(exc))
        else:
            with printing():
                show(console, partial(made, snapshot))
                click.echo()
        await asyncio.sleep(config.refresh_rate)
