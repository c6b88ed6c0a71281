"""`caption-flow worker`: caption images from the queue, with the engines that its stages need."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caption_flow import traces
from caption_flow.bench.kept import Known
from caption_flow.bench.kept import place as kept_at
from caption_flow.cli.entering import entering
from caption_flow.cli.hook import run_hook
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.options import (
    allowances,
    configured,
    networks,
    overrides,
    telling_option,
    worker_config,
)
from caption_flow.cli.running import download_limits, run_async
from caption_flow.cli.telling import Looking, Teller, telling
from caption_flow.cli.workplace import Workplace, workplace
from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.gpu import Gpu, first
from caption_flow.engine.make import make_engine, select_gpu
from caption_flow.engine.port import Engine
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Drain
from caption_flow.logs import speak_as
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.worker.consent import Consent
from caption_flow.worker.crew import Crew, Outfit
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from caption_flow.worker.served import Served
from caption_flow.worker.watch import Told

if TYPE_CHECKING:
    from caption_flow.fetch import Client

# What others call the kinds of numbers that vLLM knows.
_SHORT = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


@click.command("worker")
@entering
@click.option("--gpu-id", type=click.IntRange(min=0), help="Which GPU; one worker for each.")
@click.option("--name", help="Name of the worker in rows and monitors.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME",
    help="A stage to serve; more than one may be.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Most requests in the engine.")
@click.option("--model", help="The model's path on this host, where the job's name is not one.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float16", "bfloat16", "float32", *_SHORT]),
    help="How vLLM computes on this host: vllm.dtype of its document.",
)
@click.option("--drain-timeout", type=click.FloatRange(min=0), help="Seconds a stop may take.")
@click.option("--exit-when-done", is_flag=True, default=None, help="End with the job.")
@click.option(
    "--when-finished",
    type=click.Choice(["stay_connected", "shutdown", "post_exec_hook"]),
    help="Then wait for more (as it is without this), end, or run the hook and end.",
)
@click.option("--post-exec-hook", metavar="COMMAND", help="To run once the job is done.")
@click.option(
    "--trust-remote-code", is_flag=True, default=None, help="Run code that the model brings."
)
@allowances
@measured
@networks
@telling_option
@configured
def command(
    progress: str | None,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    way: dict[str, object],
    measures: dict[str, object],
    gpu_id: int | None,
    name: str | None,
    stages: tuple[str, ...],
    batch_size: int | None,
    model: str | None,
    precision: str | None,
    drain_timeout: float | None,
    exit_when_done: bool | None,
    when_finished: str | None,
    post_exec_hook: str | None,
    trust_remote_code: bool | None,
    allow_networks: tuple[str, ...],
    allow_models: tuple[str, ...],
    allow_pickle: bool | None,
    allow_endpoints: tuple[str, ...],
) -> None:
    """Caption images from the queue. Settings come from the job; start one worker per GPU."""
    made = overrides(
        changes,
        redis=redis,
        job=job,
        **way,
        **measures,
        gpu_id=gpu_id,
        name=name,
        stages=stages or None,
        batch_size=batch_size,
        vllm__model=model,
        vllm__dtype=_SHORT.get(precision or "", precision),
        drain_timeout=drain_timeout,
        trust_remote_code=trust_remote_code,
        allow_networks=allow_networks or None,
        **_finish(when_finished, post_exec_hook, exit_when_done=exit_when_done),
        allow_models=allow_models or None,
        allow_pickle=allow_pickle,
        allow_endpoints=allow_endpoints or None,
    )
    with telling("worker", progress) as teller:
        config = worker_config(explicit, made)
        if config.gpu_id is not None:
            select_gpu(config.gpu_id)
        with measuring("worker", config) as vitals:
            run_async(lambda drain: _work_until_over(config, teller.follow(drain), teller, vitals))


def _finish(
    when_finished: str | None, hook: str | None, *, exit_when_done: bool | None
) -> dict[str, object]:
    """Say what happens once the job is done; a hook alone is to be run then."""
    when = when_finished or (hook and "post_exec_hook")
    if when is not None and exit_when_done is None:
        exit_when_done = when != "stay_connected"
    return {
        "exit_when_done": exit_when_done,
        "when_finished": when,
        "post_exec_hook": hook,
    }


async def _work_until_over(
    config: WorkerConfig, drain: Drain, teller: Teller, vitals: Vitals
) -> None:
    """Work, and run the hook unless we were stopped before the job was done."""
    crew = await _work(config, drain, teller, vitals)
    if crew is None:
        click.echo("Stopped before there was a job.")
        return
    did = crew.figures()
    click.echo(f"Captioned {did['samples']:,} samples; gave up {did['failed']:,}.")
    if config.hook and not drain.asked:
        teller.learn(state="hook")
        await run_hook(config.hook, drain)


async def _work(config: WorkerConfig, drain: Drain, teller: Teller, vitals: Vitals) -> Crew | None:
    label = "worker" if config.gpu_id is None else f"gpu{config.gpu_id}"
    name = member_name(config.name or label)
    async with workplace(config, name, drain) as place:
        if place is None:
            return None
        told, outfit = Told.of(place.published), _outfit(place.config, place, drain)
        crew = Crew(place.job, told, outfit, place.config, name=name, drain=drain)
        gpu = Gpu(partial(first, dict(os.environ)))
        own = {**place.config.vllm, "batch_size": place.config.batch_size}
        known = Known(kept_at(os.environ), own)
        heralding = Herald(
            place.job,
            role="worker",
            name=name,
            figures=lambda: {
                **crew.figures(),
                **gpu.figures(),
                **known.figures(crew.sole, gpu.name),
            },
            facts=lambda: {**crew.facts(), **gpu.facts()},
            paused=lambda: crew.paused,
            draining=lambda: drain.asked,
        )
        teller.learn(job=place.name)
        speak_as(job=place.name, member=name)
        vitals.job = place.name
        traces.begin("worker", place.name, name)
        looking = Looking(teller, heralding, place.job.counts)
        async with gpu, heralding as herald, looking, Pulse(vitals, heralding):
            await crew.run(herald)
        return crew


def _outfit(config: WorkerConfig, place: Workplace, drain: Drain) -> Outfit:
    consent = Consent(config)

    def engine(settings: Broadcast, needed: Served) -> Engine:
        return make_engine(
            settings,
            needed.stages,
            overrides=consent.overrides_of(needed.share),
            batch_size=config.batch_size,
            trust_remote_code=config.trust_remote_code,
            share=needed.share,
            drain=drain,
            preparers=config.preparers,
        )

    return Outfit(
        engine=engine,
        queue=place.queue,
        references=lambda settings: references_of(config, settings),
    )


def references_of(config: WorkerConfig, settings: Broadcast) -> References:
    """Make what fetches images: as the job says, but from where our own operator allows."""
    hub = Hub.of(os.environ, of_others=config.server is not None)

    def connect() -> "Client":
        from caption_flow.fetch import Client  # noqa: PLC0415 - most jobs need none

        limits = download_limits(settings.download)
        return Client(limits, config.allow_networks, hub.headers, trusted=hub.trusted)

    return References(
        connect, hub, at_once=settings.download.at_once, max_bytes=settings.max_file_size
    )
