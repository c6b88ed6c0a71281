"""`caption-flow pause`: let a job rest, with everything where it is."""

import click

from caption_flow.cli.asking import asking
from caption_flow.cli.ordering import ask_operator, order_of_now, told
from caption_flow.config import JobConfig


@click.command("pause")
@asking("pause", through=True)
def command(config: JobConfig) -> None:
    """Let a job rest until "caption-flow resume".

    Workers finish what they hold, claim nothing more and keep their models loaded; feeders offer
    nothing more; sinks go on. It holds for whoever joins, too.
    """
    before = ask_operator(config, lambda operator: operator.pause(order_of_now()))
    if before is not None:
        click.echo(f"It is paused already, {told(before)}.")
    else:
        click.echo('Paused: workers finish what they hold. "caption-flow resume" lets it go on.')
