"""`caption-flow resume`: let a job go on that was paused."""

import click

from caption_flow.cli.asking import asking
from caption_flow.cli.ordering import ask_operator, told
from caption_flow.config import JobConfig


@click.command("resume")
@asking("resume", through=True)
def command(config: JobConfig) -> None:
    """Let a job go on that was paused."""
    lifted = ask_operator(config, lambda operator: operator.resume())
    if lifted is None:
        click.echo("It was not paused.")
    else:
        click.echo(f"It goes on; it was paused {told(lifted)}.")
