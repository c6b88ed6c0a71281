"""`caption-flow doctor`: look for what goes wrong in practice, and say what to do about it."""

import os
from pathlib import Path

import click

from caption_flow.cli.bar import Bar
from caption_flow.cli.doctor_document import read_document
from caption_flow.cli.doctor_report import as_json, show, sum_up
from caption_flow.cli.doctor_rounds import ROLES, Rounds
from caption_flow.cli.entering import check_way, entering
from caption_flow.cli.options import data_options, networks, overrides
from caption_flow.cli.printing import printing
from caption_flow.cli.running import run_async

EXIT_PROBLEM = 1


@click.command("doctor")
@click.argument("path", required=False)
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    help="What this host is to do; without it, all that the settings tell of.",
)
@click.option("--gpu-id", type=click.IntRange(min=0), help="Which GPU a worker would use.")
@click.option("--imports", is_flag=True, help="Import vLLM and torch too, which takes a minute.")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document.")
@entering
@networks
@data_options
def command(
    path: str | None,
    way: dict[str, object],
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
    roles: tuple[str, ...],
    gpu_id: int | None,
    imports: bool,
    in_json: bool,
) -> int:
    """Check this machine, the settings and what they lead to; change nothing.

    Looks at Redis, the proxy, the data set in PATH, the disk, the engine's packages, the model and
    the GPUs, as far as the settings name them. Exits with 1 when there is a problem.
    """
    made = overrides(
        changes,
        dataset__dataset_path=path,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
        **way,
    )
    document = read_document(explicit, made)
    check_way(document.config)
    rounds = Rounds(
        document, frozenset(roles), gpu_id=gpu_id, imports=imports, environ=dict(os.environ)
    )
    with Bar() as bar:
        findings = run_async(lambda drain: rounds.make(drain, bar.see))
    with printing():
        if in_json:
            click.echo(as_json(findings))
        else:
            show(findings)
            click.echo(sum_up(findings))
    if rounds.stopped:
        click.echo("Stopped before all was looked at.", err=True)
    wrong = rounds.stopped or any(one.state == "problem" for one in findings)
    return EXIT_PROBLEM if wrong else 0
