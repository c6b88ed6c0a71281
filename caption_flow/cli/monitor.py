"""`caption-flow monitor`: a job at a glance, looked at again and again until Ctrl-C."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from caption_flow.cli.asking import Asked, Job, at_redis, office_of, through_proxy
from caption_flow.cli.entering import check_way, entering
from caption_flow.cli.options import job_config, located, overrides, warn
from caption_flow.cli.status_report import tables
from caption_flow.config import MonitorConfig, load_monitor
from caption_flow.errors import QueueUnreachable
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Inspector


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
    """Show how a job stands, until Ctrl-C."""
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
    await watch(office.job, office, config)


async def watch(job: str, inspector: Inspector, config: MonitorConfig) -> None:
    """Show what an inspector sees, for ever."""
    console = Console(file=sys.stdout, highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                shown = tables(
                    job, await inspector.snapshot(), contributors=config.show_contributors
                )
            except QueueUnreachable as exc:
                shown = Text(str(exc))
            if console.is_terminal:
                live.update(shown, refresh=True)
            else:
                console.print(shown)
            await asyncio.sleep(config.refresh_rate)
