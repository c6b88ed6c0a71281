"""`caption-flow run`: caption a data set with everything on this machine."""

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import click

from caption_flow.cli.local import run_job
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.naming import job_name
from caption_flow.cli.options import (
    data_options,
    networks,
    overrides,
    publishing_config,
    telling_option,
)
from caption_flow.cli.progress import JobProgress
from caption_flow.cli.running import source_of
from caption_flow.cli.saying import say
from caption_flow.cli.telling import Teller, telling
from caption_flow.config import JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.tail import newest
from caption_flow.metrics.vitals import Vitals
from caption_flow.model import DeadLetter
from caption_flow.patience import Interrupted
from caption_flow.queue.ports import Snapshot
from caption_flow.supervisor.job import Plan

SHOWN = 3  # captions printed at the end
EXIT_STOPPED = 1


@click.command("run")
@click.argument("path", required=False)
@click.option("--model", help="The model: a name on the hub, or a folder.")
@click.option("--prompt", "prompts", multiple=True, help="What to ask; each gives a caption.")
@click.option("--engine", type=click.Choice(["vllm", "simulated"]), help="What runs the model.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Most requests in the engine.")
@click.option(
    "--gpu-id",
    "gpus",
    type=click.IntRange(min=0),
    multiple=True,
    help="GPU to use; a worker for each.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Seconds a stop waits for what is being captioned.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that the model brings.")
@measured
@networks
@telling_option
@data_options
def command(
    measures: dict[str, object],
    progress: str | None,
    path: str | None,
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
    model: str | None,
    prompts: tuple[str, ...],
    engine: str | None,
    batch_size: int | None,
    gpus: tuple[int, ...],
    drain_timeout: float,
    trust_remote_code: bool,
) -> int:
    """Caption the images in PATH, and end when all have their captions.

    PATH is the data set, unless the document says: a folder, a file, a URL, a place on the hub.
    Starts a Redis of its own unless one is given. Stop it with Ctrl-C; the same command goes on.
    """
    made = overrides(
        changes,
        dataset__dataset_path=path,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
        vllm__model=model,
        vllm__inference_prompts=prompts or None,
        engine=engine,
        vllm__batch_size=batch_size,
        **measures,
    )
    with telling("run", progress) as teller:
        config = publishing_config("run", explicit, made, dict(os.environ))
        source_of(config)
        workers = _workers(config, gpus, drain_timeout, trust_remote_code=trust_remote_code)
        plan = Plan(workers=workers, ends=True, drain_timeout=drain_timeout)
        with measuring("run", config) as vitals:
            teller.code = _run(config, plan, teller, vitals)
    return teller.code


def _workers(
    config: JobConfig, gpus: Sequence[int], drain_timeout: float, *, trust_remote_code: bool
) -> list[tuple[str, ...]]:
    """Spell the arguments of each worker."""
    # What a worker.yaml says is for workers that come by themselves, not for those of this job.
    # Nor do they leave by themselves, whatever a variable says.
    arguments = ["--config", os.devnull, "--set", "exit_when_done=false"]
    arguments += ["--drain-timeout", str(drain_timeout)]
    for network in config.dataset.allow_networks:
        arguments += ["--allow-network", network]
    if trust_remote_code:
        arguments.append("--trust-remote-code")
    return [(*arguments, "--gpu-id", str(gpu)) for gpu in gpus] or [tuple(arguments)]


def _run(config: JobConfig, plan: Plan, teller: Teller, vitals: Vitals) -> int:
    begun = time.monotonic()
    try:
        with JobProgress() as progress:
            last, dead = run_job(
                config,
                plan,
                started=_say_started,
                watch=progress.show,
                teller=teller,
                vitals=vitals,
            )
    except Interrupted as exc:
        say(f"{exc} The same command goes on.")
        return EXIT_STOPPED
    seconds = time.monotonic() - begun
    _report(config, last, dead, seconds)
    return 0 if last.counts.done else EXIT_STOPPED


def _say_started(url: str, config: JobConfig) -> None:
    say(f'Job "{config.job}" on {config.dataset.dataset_path}')
    say(f"Watch its streams: redis-cli {_cli_arguments(url)} --scan")


def _cli_arguments(url: str) -> str:
    if url.startswith("unix://"):
        return f"-s {url.removeprefix('unix://').partition('?')[0]}"
    return "-u REDIS_URL"


def _report(config: JobConfig, last: Snapshot, dead: Sequence[DeadLetter], seconds: float) -> None:
    counts = last.counts
    folder = PartFolder(Path(config.storage.data_dir), job_name(config))
    if counts.captioned:
        for id_, captions in newest(folder, SHOWN):
            click.echo(f"  {id_}: {' | '.join(captions)}")
    for letter in dead:
        why = letter.failure
        click.echo(f"  given up: {letter.sample.id}: {why.reason}, {why.detail}")
    click.echo(
        f"{folder.rows():,} captions in {folder.path}, {counts.dead:,} dead letters, "
        f"{seconds:.1f} s."
    )
    if counts.done and counts.captioned:
        click.echo(f"Next: {_look_inside(folder.path)}")
    if not counts.done:
        left = counts.planned - counts.captioned - counts.dead
        click.echo(f"Stopped with {left:,} planned samples left; the same command goes on.")


def _look_inside(parts: Path) -> str:
    """Spell a command that shows a row, as whoever typed this one can type it."""
    words = ["export", str(parts), "--limit", "1", "--output", "-"]
    return shlex.join(["caption-flow", *words])
