"""`caption-flow status`: a job at a glance, once."""

import click

from caption_flow.cli.asking import asking, office_of
from caption_flow.cli.contributors_report import show
from caption_flow.cli.printing import printing
from caption_flow.cli.status_report import as_json, tables
from caption_flow.config import JobConfig
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Snapshot


@click.command("status")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document.")
@asking("status", through=True)
def command(config: JobConfig, *, in_json: bool) -> None:
    """Show how a job stands: its books, streams and processes, and who captioned how much."""
    with office_of(config, "status", "monitor") as job:
        name, snapshot = job.ask(_look)
    with printing():
        if in_json:
            click.echo(as_json(name, snapshot))
        else:
            show(tables(name, snapshot))


async def _look(office: Office) -> tuple[str, Snapshot]:
    return office.job, await office.snapshot()
