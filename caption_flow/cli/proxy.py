"""`caption-flow proxy`: let contributors in from anywhere."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click

from caption_flow.cli.listening import check_listening, listening
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
from caption_flow.patience import Patience
from caption_flow.proxy.admission.admission import token_admission
from caption_flow.proxy.ports import Admission
from caption_flow.proxy.server import MOST_CONNECTIONS, Proxy, proxy
from caption_flow.proxy.supply import Supply
from caption_flow.proxy.watching.passing import Read
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.ports import Budget


@click.command("proxy")
@listening
@telling_option
@configured
def command(
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
    made = overrides(
        changes, redis=redis, job=job, host=host, port=port, cert=cert, key=key, no_ssl=no_ssl
    )
    with telling("proxy", progress) as teller:
        config = job_config("proxy", explicit, made, dict(os.environ))
        check_listening(config)
        run_async(lambda drain: _serve(config, teller.follow(drain), teller))
        click.echo("Stopped.")


async def _serve(config: JobConfig, drain: Drain, teller: Teller) -> None:
    url = redis_url(config)
    async with (
        secured(config) as tls,
        checked_redis(url, "proxy", drain, most=MOST_CONNECTIONS) as connections,
    ):
        name = known_job(config) or await _found(connections, drain)
        if name is None:
            return
        job = RedisJob(connections, name)
        teller.learn(job=name)
        async with (
            token_admission(job, config.auth.grants(), config.proxy) as admission,
            _door(job, admission, config) as door,
            door.listening(config.host, config.port, tls) as port,
            _heralding(job, door, address := _address(config, port, tls=tls is not None)) as herald,
            Looking(teller, herald, job.counts),
        ):
            herald.state = "working"
            click.echo(f"Serving job {name} on {address}")
            await drain.wait()


def _heralding(job: RedisJob, door: Proxy, address: str) -> Herald:
    return Herald(
        job,
        role="proxy",
        name=member_name("proxy"),
        figures=door.figures,
        facts=lambda: {"address": address},
    )


def _address(config: JobConfig, port: int, *, tls: bool) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'wss' if tls else 'ws'}://{host}:{port}"


@asynccontextmanager
async def _door(job: RedisJob, admission: Admission, config: JobConfig) -> AsyncIterator[Proxy]:
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
