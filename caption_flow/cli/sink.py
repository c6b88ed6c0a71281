"""`caption-flow sink`: write captions to Parquet."""

import os
from pathlib import Path

import click

from caption_flow import traces
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.naming import known_job
from caption_flow.cli.options import data_options, job_config, overrides, telling_option
from caption_flow.cli.running import checked_redis, find_job, redis_url, run_async
from caption_flow.cli.telling import Looking, Teller, telling
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.parts import PartFolder
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Drain
from caption_flow.logs import speak_as
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.sink.sink import PartSize, Sink


@click.command("sink")
@click.option("--exit-when-done", is_flag=True, help="End when every sample is settled.")
@measured
@telling_option
@data_options
def command(
    exit_when_done: bool,
    measures: dict[str, object],
    progress: str | None,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
) -> None:
    """Write finished captions to Parquet files in DATA_DIR/JOB. Several sinks may share a job."""
    made = overrides(changes, redis=redis, job=job, storage__data_dir=data_dir, **measures)
    with telling("sink", progress) as teller:
        config = job_config("sink", explicit, made, dict(os.environ))
        with measuring("sink", config) as vitals:
            sink = run_async(
                lambda drain: _sink(
                    config, teller.follow(drain), teller, vitals, exit_when_done=exit_when_done
                )
            )
        if sink is None:
            click.echo("Stopped before there was a job.")
            return
        click.echo(f"Wrote {sink.rows:,} captions to {sink.path}.")


async def _sink(
    config: JobConfig, drain: Drain, teller: Teller, vitals: Vitals, *, exit_when_done: bool
) -> Sink | None:
    name = member_name("sink")
    async with checked_redis(redis_url(config), "sink", drain) as connections:
        found = await find_job(connections, known_job(config), drain)
        if found is None:
            return None
        job, published = found
        told = Broadcast.decode(published.document)
        queue = RedisCaptionQueue(job, name=name, lease_seconds=config.lease_seconds)
        sink = Sink(
            queue,
            PartFolder(Path(config.storage.data_dir), job.job),
            outputs=told.outputs,
            fields=told.fields,
            size=PartSize(
                rows=config.storage.rows_per_part,
                seconds=config.storage.seconds_per_part,
                budget=config.budget.samples,
            ),
            lease_seconds=config.lease_seconds,
            drain=drain,
            exit_when_done=exit_when_done,
        )
        teller.learn(job=job.job)
        speak_as(job=job.job, member=name)
        vitals.job = job.job
        traces.begin("sink", job.job, name)
        heralding = Herald(
            queue,
            role="sink",
            name=name,
            figures=sink.figures,
            facts=sink.facts,
            draining=lambda: drain.asked,
        )
        looking = Looking(teller, heralding, queue.counts)
        async with heralding as herald, looking, Pulse(vitals, heralding):
            herald.state = "working"
            await sink.run()
        await queue.close()
    return sink
