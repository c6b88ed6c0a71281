"""`caption-flow orchestrator`: feed a data set and write its captions, for workers that join."""

import os
from pathlib import Path

import click

from caption_flow.cli.laned import refuse_proxy
from caption_flow.cli.listening import check_listening, listening
from caption_flow.cli.local import run_job
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.options import (
    data_options,
    networks,
    overrides,
    publishing_config,
    telling_option,
)
from caption_flow.cli.running import source_of
from caption_flow.cli.saying import say
from caption_flow.cli.telling import Teller, telling
from caption_flow.config import JobConfig
from caption_flow.metrics.vitals import Vitals
from caption_flow.queue.connect import redact
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Snapshot
from caption_flow.queue.tokens import RedisTokens
from caption_flow.supervisor.job import Plan

# Programs that start us wait for this line.
READY = "Orchestrator ready for connections"


@click.command("orchestrator")
@click.option("--exit-when-done", is_flag=True, help="End when every sample is settled.")
@click.option("--no-proxy", is_flag=True, help="Let nobody in from elsewhere.")
@listening
@measured
@networks
@telling_option
@data_options
def command(
    measures: dict[str, object],
    progress: str | None,
    exit_when_done: bool,
    no_proxy: bool,
    host: str | None,
    port: int | None,
    cert: Path | None,
    key: Path | None,
    no_ssl: bool | None,
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
) -> None:
    """Feed a data set and write its captions, until stopped. Workers join by themselves.

    A proxy lets in those who do not reach Redis, once there is a token, or one of --host, --port,
    --cert, --key and --no-ssl is given.
    """
    listen = {"host": host, "port": port, "cert": cert, "key": key, "no_ssl": no_ssl}
    made = overrides(
        changes,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
        **listen,
        **measures,
    )
    with telling("orchestrator", progress) as teller:
        config = publishing_config("orchestrator", explicit, made, dict(os.environ))
        wanted = any(value is not None for value in listen.values()) or config.auth.grants()
        proxy = bool(wanted) and not no_proxy
        if proxy:
            refuse_proxy(config.lanes)
            check_listening(config)
        source_of(config)
        plan = Plan(workers=(), ends=exit_when_done, drain_timeout=0.0, proxy=proxy)
        with measuring("orchestrator", config) as vitals:
            _serve(config, plan, teller, vitals, no_proxy=no_proxy)


async def _lets_in(config: JobConfig, job: RedisJob) -> bool:
    """Whether tokens were added to the job; ConfigError where all could listen to them."""
    if await RedisTokens(job).grants():
        refuse_proxy(config.lanes)
        check_listening(config)
        return True
    say(
        "No proxy is started, since nobody could come in: there is no token in the document, nor "
        "one that was added. --port starts one all the same, for tokens that are added later."
    )
    return False


def _serve(
    config: JobConfig, plan: Plan, teller: Teller, vitals: Vitals, *, no_proxy: bool
) -> None:
    last, _ = run_job(
        config,
        plan,
        started=_say_started,
        watch=_look_away,
        teller=teller,
        vitals=vitals,
        ready=lambda: click.echo(READY),
        lets_in=None if no_proxy else lambda job: _lets_in(config, job),
    )
    counts = last.counts
    click.echo(f"{counts.captioned:,} of {counts.planned:,} captioned, {counts.dead:,} given up.")


def _say_started(url: str, config: JobConfig) -> None:
    click.echo(f"Serving job {config.job} on {redact(url)}")
    click.echo(f"Add a worker: caption-flow worker --redis '{redact(url)}' --job {config.job}")


def _look_away(snapshot: Snapshot) -> None:
    """A terminal monitor is a command of its own."""
