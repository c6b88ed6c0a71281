"""`caption-flow status`: a job at a glance, once or again and again."""

import asyncio
import sys
from collections.abc import Callable

import click
from rich.console import Console

from caption_flow.cli import listing
from caption_flow.cli.asking import asking, office_of
from caption_flow.cli.printing import printing
from caption_flow.cli.showing import console_here, show
from caption_flow.cli.status_report import as_json, report
from caption_flow.codec import records
from caption_flow.config import JobConfig
from caption_flow.errors import QueueUnreachable
from caption_flow.monitor.speeds import Speeds
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Shard, Snapshot

_WATCH_SECONDS = 2.0
_SHORTEST = 0.1
_SHARDS = 1000  # read at a time, and in one table

Print = Callable[[str, Snapshot], None]
PrintShards = Callable[[list[Shard]], None]


@click.command("status")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document, in a line.")
@click.option(
    "--watch",
    metavar="[SECONDS]",
    is_flag=False,
    flag_value=_WATCH_SECONDS,
    type=click.FloatRange(min=_SHORTEST),
    help="Look again every so many seconds (2 without a number), until Ctrl-C.",
)
@click.option(
    "--shards",
    is_flag=True,
    help="List how far all shards are instead; with --json one document in a line for each.",
)
@asking("status", through=True)
def command(config: JobConfig, *, in_json: bool, watch: float | None, shards: bool) -> None:
    """Show how a job stands: what limits it, its books, pace, streams, processes and makers."""
    if shards and watch is not None:
        raise click.UsageError("--shards lists them once: leave --watch out.")
    with office_of(config, "status", "monitor") as job:
        if shards:
            pages = _shard_lines if in_json else _tables(console_here())
            job.ask(lambda office: _list_shards(office, pages))
            return
        told = _lines if in_json else _blocks(console_here(), again=watch is not None)
        try:
            job.ask(lambda office: _look(office, told, watch))
        except KeyboardInterrupt:
            if watch is None:
                raise


async def _look(office: Office, told: Print, watch: float | None) -> None:
    told(office.job, await office.snapshot())
    while watch is not None:
        await asyncio.sleep(watch)
        try:
            told(office.job, await office.snapshot())
        except QueueUnreachable as exc:
            click.echo(str(exc), err=True)


async def _list_shards(office: Office, told: PrintShards) -> None:
    """Print them as they are read."""
    after = ""
    while page := await office.shards(after, _SHARDS):
        told(page)
        if len(page) < _SHARDS:
            return
        after = page[-1].name


def _shard_lines(page: list[Shard]) -> None:
    with printing():
        for shard in page:
            click.echo(records.encode(shard))


def _tables(console: Console) -> PrintShards:
    """Print for people: a table of each page, one below the other."""
    shown = 0

    def told(page: list[Shard]) -> None:
        nonlocal shown
        with printing():
            if shown:
                sys.stdout.write("\n")
            show(console, lambda width: listing.shards(page, width))
        shown += 1

    return told


def _lines(job: str, snapshot: Snapshot) -> None:
    with printing():
        click.echo(as_json(job, snapshot))


def _blocks(console: Console, *, again: bool) -> Print:
    """Print for people: one below the other, or in place of each other on a terminal."""
    speeds, ascii_only = Speeds(), console.options.ascii_only
    shown = 0

    def told(job: str, snapshot: Snapshot) -> None:
        nonlocal shown
        speeds.note(snapshot.members)
        with printing():
            if again and console.is_terminal:
                console.clear()
            elif shown:
                sys.stdout.write("\n")
            show(
                console,
                lambda width: report(job, snapshot, speeds, width, ascii_only=ascii_only),
            )
        shown += 1

    return told
