"""`caption-flow status`: a job at a glance, once."""

import click

from caption_flow.cli.asking import asking, job_of
from caption_flow.cli.contributors_report import show
from caption_flow.cli.printing import printing
from caption_flow.cli.status_report import as_json, tables
from caption_flow.config import JobConfig
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Snapshot


@click.command("status")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document.")
@asking("status")
def command(config: JobConfig, *, in_json: bool) -> None:
    """Show how a job stands: its books, streams and processes, and who captioned how much."""
    with job_of(config, "status") as job:
        name, snapshot = job.ask(_look)
    with printing():
        if in_json:
            click.echo(as_json(name, snapshot))
        else:
            show(tables(name, snapshot))


async def _look(job: RedisJob) -> tuple[str, Snapshot]:
    return job.job, await RedisInspector(job.connections, job.job).snapshot()
