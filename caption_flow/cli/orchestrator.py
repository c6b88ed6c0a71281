"""`caption-flow orchestrator`: feed a data set and write its captions, for workers that join."""

import os
from pathlib import Path

import click

from caption_flow.cli.local import run_job
from caption_flow.cli.options import data_options, networks, overrides, publishing_config
from caption_flow.cli.running import source_of
from caption_flow.config import JobConfig
from caption_flow.queue.connect import redact
from caption_flow.queue.ports import Snapshot
from caption_flow.supervisor.job import Plan

EXIT_STOPPED = 0


@click.command("orchestrator")
@click.option("--exit-when-done", is_flag=True, help="End when every sample is settled.")
@networks
@data_options
def command(
    exit_when_done: bool,
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
) -> None:
    """Feed a data set and write its captions, until stopped. Workers join by themselves."""
    made = overrides(
        changes,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
    )
    config = publishing_config("orchestrator", explicit, made, dict(os.environ))
    source_of(config)
    plan = Plan(workers=(), ends=exit_when_done, drain_timeout=0.0)
    last, _ = run_job(config, plan, started=_say_started, watch=_look_away)
    counts = last.counts
    click.echo(f"{counts.captioned:,} of {counts.planned:,} captioned, {counts.dead:,} given up.")


def _say_started(url: str, config: JobConfig) -> None:
    click.echo(f"Serving job {config.job} on {redact(url)}")
    click.echo(f"Add a worker: caption-flow worker --redis '{redact(url)}' --job {config.job}")


def _look_away(snapshot: Snapshot) -> None:
    """A terminal monitor is a command of its own."""
