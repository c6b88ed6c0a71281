"""`caption-flow sink`: write captions to Parquet."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from caption_flow import traces
from caption_flow.cli.laned import with_lanes
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.naming import known_job
from caption_flow.cli.options import data_options, job_config, overrides, telling_option
from caption_flow.cli.running import checked_redis, find_job, redis_url, run_async
from caption_flow.cli.telling import Looking, Teller, telling
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.without_pandas import without_pandas
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Drain
from caption_flow.logs import speak_as
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.captions import LaneCaptionQueue
from caption_flow.sink.sink import PartSize, Sink
from caption_flow.sink.sinks import Sinks
from caption_flow.sink.surveys import Surveys


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
    without_pandas()
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
) -> Sinks | None:
    name = member_name("sink")
    async with checked_redis(redis_url(config), "sink", drain) as connections:
        found = await find_job(connections, known_job(config), drain)
        if found is None:
            return None
        job, published = found
        told = Broadcast.decode(published.document)
        queues = _queues(job, told.lanes, name, config.lease_seconds)
        whole = with_lanes(job, told.lanes)
        surveys = Surveys(len(queues))
        size = PartSize(
            rows=config.storage.rows_per_part,
            seconds=config.storage.seconds_per_part,
            budget=config.budget.samples // told.lanes,
        )
        sink = Sinks(
            [
                Sink(
                    queue,
                    PartFolder(Path(config.storage.data_dir), job.job),
                    outputs=told.outputs,
                    fields=told.fields,
                    size=size,
                    lease_seconds=config.lease_seconds,
                    drain=drain,
                    exit_when_done=exit_when_done,
                    surveys=surveys,
                )
                for queue in queues
            ]
        )
        teller.learn(job=job.job)
        speak_as(job=job.job, member=name)
        vitals.job = job.job
        traces.begin("sink", job.job, name)
        heralding = Herald(
            whole,
            role="sink",
            name=name,
            figures=sink.figures,
            facts=sink.facts,
            draining=lambda: drain.asked,
        )
        looking = Looking(teller, heralding, whole.counts)
        async with heralding as herald, looking, Pulse(vitals, heralding):
            herald.state = "working"
            await sink.run()
        for queue in queues:
            await queue.close()
    return sink


def _queues(
    job: RedisJob, lanes: int, name: str, lease_seconds: float
) -> Sequence[RedisCaptionQueue]:
    """Give the queue of each lane: a part holds captions of one."""
    if lanes == 1:
        return [RedisCaptionQueue(job, name=name, lease_seconds=lease_seconds)]
    return [
        LaneCaptionQueue(job, lanes, lane=lane, name=name, lease_seconds=lease_seconds)
        for lane in range(lanes)
    ]
