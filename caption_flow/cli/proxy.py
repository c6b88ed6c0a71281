"""`caption-flow proxy`: let contributors in from anywhere."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click

from caption_flow.cli.laned import refuse_lanes
from caption_flow.cli.listening import check_listening, listening
from caption_flow.cli.measuring import measured, measuring
from caption_flow.cli.naming import known_job
from caption_flow.cli.options import configured, job_config, overrides, telling_option
from caption_flow.cli.running import (
    ASK_SECONDS,
    checked_redis,
    redis_url,
    run_async,
    source_of,
)
from caption_flow.cli.securing import secured
from caption_flow.cli.telling import Looking, Teller, telling
from caption_flow.config import JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.pixels import Pixels
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Drain
from caption_flow.logs import speak_as
from caption_flow.metrics.pages import health, metrics
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.patience import Patience
from caption_flow.proxy.admission.admission import token_admission
from caption_flow.proxy.ports import Admission
from caption_flow.proxy.server import MOST_CONNECTIONS, Proxy, proxy
from caption_flow.proxy.supply import Supply
from caption_flow.proxy.watching.glance import Glance
from caption_flow.proxy.watching.passing import Read
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.ports import Budget

LOOK_SECONDS = 1.0  # between two looks at the job, however often its metrics are asked for


@click.command("proxy")
@listening
@measured
@telling_option
@configured
def command(
    measures: dict[str, object],
    progress: str | None,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    host: str | None,
    port: int | None,
    cert: Path | None,
    key: Path | None,
    no_ssl: bool | None,
) -> None:
    """Let workers in who do not reach Redis, by their tokens, until stopped."""
    listen = {"host": host, "port": port, "cert": cert, "key": key, "no_ssl": no_ssl}
    made = overrides(changes, redis=redis, job=job, **listen, **measures)
    with telling("proxy", progress) as teller:
        config = job_config("proxy", explicit, made, dict(os.environ))
        check_listening(config)
        with measuring("proxy", config) as vitals:
            run_async(lambda drain: _serve(config, teller.follow(drain), teller, vitals))
        click.echo("Stopped.")


async def _serve(config: JobConfig, drain: Drain, teller: Teller, vitals: Vitals) -> None:
    url = redis_url(config)
    async with (
        secured(config) as tls,
        checked_redis(url, "proxy", drain, most=MOST_CONNECTIONS) as connections,
    ):
        name = known_job(config) or await _found(connections, drain)
        if name is None:
            return
        job = RedisJob(connections, name)
        refuse_lanes(await Patience(drain)(job.settings), name, "a proxy")
        member = member_name("proxy")
        teller.learn(job=name)
        speak_as(job=name, member=member)
        vitals.job = name
        inspector = RedisInspector(connections, name)
        vitals.look_by(Glance(inspector.snapshot, seconds=LOOK_SECONDS).get)
        async with (
            token_admission(job, config.auth.grants(), config.proxy) as admission,
            _door(job, admission, config, vitals) as door,
            door.listening(config.host, config.port, tls) as port,
            _heralding(
                job, member, door, address := _address(config, port, tls=tls is not None), drain
            ) as herald,
            Looking(teller, herald, job.counts),
            Pulse(vitals, herald),
        ):
            herald.state = "working"
            click.echo(f"Serving job {name} on {address}")
            await drain.wait()


def _heralding(job: RedisJob, name: str, door: Proxy, address: str, drain: Drain) -> Herald:
    return Herald(
        job,
        role="proxy",
        name=name,
        figures=door.figures,
        facts=lambda: {"address": address},
        draining=lambda: drain.asked,
    )


def _address(config: JobConfig, port: int, *, tls: bool) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'wss' if tls else 'ws'}://{host}:{port}"


@asynccontextmanager
async def _door(
    job: RedisJob, admission: Admission, config: JobConfig, vitals: Vitals
) -> AsyncIterator[Proxy]:
    supply = Supply(
        most_image=config.images.max_bytes,
        budget=Budget(bytes=config.budget.bytes, samples=config.budget.samples),
        folder=PartFolder(Path(config.storage.data_dir), job.job),
    )
    with _reading(config) as read:
        opened = proxy(
            *(job, admission, config.proxy),
            lease_seconds=config.lease_seconds,
            supply=supply,
            read=read,
            public=health(vitals),
            guarded=metrics(vitals, contributors=True),
        )
        async with opened as door:
            yield door


@contextmanager
def _reading(config: JobConfig) -> Iterator[Read | None]:
    """Read images of samples, of the data set that the document names if it names one."""
    page = config.proxy.page
    if not (page.enabled and page.thumbnails):
        yield None
        return
    named = config.dataset.dataset_path is not None
    pixels = Pixels(
        (lambda: source_of(config)) if named else None,
        allow_networks=config.dataset.allow_networks,
    )
    try:
        yield pixels.of
    finally:
        pixels.close()


async def _found(connections: Connections, drain: Drain) -> str | None:
    """Wait for the one job of a server; None when asked to drain first."""
    patience = Patience(drain)
    while not drain.asked:
        if (name := await patience(lambda: only_job(connections))) is not None:
            return name
        await asyncio.sleep(ASK_SECONDS)
    return None
