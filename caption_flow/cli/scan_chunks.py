"""`caption-flow scan_chunks`: check the books of a job from Redis, its parts and its source."""

import asyncio
import os
from pathlib import Path

import click
from msgspec.structs import replace

from caption_flow.audit.audit import Audit
from caption_flow.audit.mend import Mender
from caption_flow.audit.seeing import See
from caption_flow.audit.tally import Mended
from caption_flow.cli.asking import NoRedis, started_redis
from caption_flow.cli.bar import Bar
from caption_flow.cli.laned import refuse_lanes
from caption_flow.cli.naming import dataset_identity, known_job
from caption_flow.cli.options import data_options, job_config, overrides
from caption_flow.cli.printing import printing
from caption_flow.cli.running import embedded_directory, source_of
from caption_flow.cli.scan_report import Report, as_json
from caption_flow.cli.scan_table import show
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source
from caption_flow.errors import (
    CaptionFlowError,
    ConfigError,
    QueueUnfit,
    QueueUnreachable,
    SourceError,
)
from caption_flow.herald import member_name
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.sink.recovery import Recovery

EXIT_UNBALANCED = 1


@click.command("scan_chunks")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Feed again what is missing; finish parts and books.")
@click.option("--chunks", "every_chunk", is_flag=True, help="List every chunk.")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document.")
@data_options
def command(
    path: Path | None,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
    fix: bool,
    every_chunk: bool,
    in_json: bool,
) -> int:
    """Check that each planned sample is in one place: a chunk, a stage, a part, a dead letter.

    Compares what the data set in PATH names, what Redis holds, and what stands in the parts; each
    as far as it is there. Exits with 1 when they do not balance.
    """
    made = overrides(
        changes, dataset__dataset_path=path, redis=redis, job=job, storage__data_dir=data_dir
    )
    config = job_config("scan_chunks", explicit, made, dict(os.environ))
    report = _scan(config, fix=fix, named=path is not None)
    with printing():
        if in_json:
            click.echo(as_json(report))
        else:
            show(report, every_chunk=every_chunk)
    return 0 if report.findings.balanced else EXIT_UNBALANCED


class _NoJob(CaptionFlowError):
    """Redis has no such job."""


def _scan(config: JobConfig, *, fix: bool, named: bool) -> Report:
    source, lacking = _source(config, named=named)
    report = _with_what_is_there(config, source, fix=fix)
    return replace(report, source_left_out=lacking)


def _source(config: JobConfig, *, named: bool) -> tuple[Source | None, str]:
    """Open the data set, and say why not where only the settings name it: it may be elsewhere."""
    if config.dataset.dataset_path is None:
        return None, ""
    try:
        return source_of(config), ""
    except SourceError as exc:
        if named:
            raise
        return None, str(exc)


def _with_what_is_there(config: JobConfig, source: Source | None, *, fix: bool) -> Report:
    with Bar() as bar:
        return _looked(config, source, bar.see, fix=fix)


def _looked(config: JobConfig, source: Source | None, see: See, *, fix: bool) -> Report:
    if config.redis is None and not embedded_directory(config).exists():
        why = "None is configured."
    else:
        try:
            with started_redis(config) as url:
                return asyncio.run(_with_redis(config, url, source, see, fix=fix))
        except (QueueUnreachable, NoRedis, _NoJob) as exc:
            why = str(exc)
    return asyncio.run(_without_redis(config, source, why, see, fix=fix))


async def _with_redis(
    config: JobConfig, url: str, source: Source | None, see: See, *, fix: bool
) -> Report:
    async with connect(url, role="scan") as connections:
        name = known_job(config) or await only_job(connections)
        if name is None:
            raise _NoJob(f"{connections.host} has no job.")
        job = RedisJob(connections, name)
        settings = await job.settings()
        if settings is None:
            raise _NoJob(f'{connections.host} has no job "{name}".')
        refuse_lanes(settings, name, '"caption-flow scan_chunks"')
        told = Broadcast.decode(settings.document)
        stages = [stage.name for stage in told.stages]
        queue = RedisAuditQueue(job, stages=stages, lease_seconds=told.lease_seconds)
        if source is not None:
            await _refuse_another(queue, dataset_identity(config))
        folder = PartFolder(Path(config.storage.data_dir), name)
        audit = Audit(folder, queue=queue, source=source, chunk_size=config.chunk_size, see=see)
        mended = await _mend(config, job, audit, queue, folder) if fix else None
        scan = await audit.scan()
    return Report(name, folder.path, scan.findings, mended)


async def _without_redis(
    config: JobConfig, source: Source | None, why: str, see: See, *, fix: bool
) -> Report:
    data_dir = Path(config.storage.data_dir)
    name = known_job(config) or _only_folder(data_dir)
    folder = PartFolder(data_dir, name)
    if source is None and not folder.path.exists():
        raise ConfigError(
            f'Nothing is known of a job "{name}": there is no {folder.path}, and no Redis: {why}'
        )
    audit = Audit(folder, queue=None, source=source, chunk_size=config.chunk_size, see=see)
    scan = await audit.scan()
    mended = Mended(left=("Nothing was mended, which Redis is needed for.",)) if fix else None
    return Report(name, folder.path, scan.findings, mended, redis_left_out=why)


async def _mend(
    config: JobConfig, job: RedisJob, audit: Audit, queue: RedisAuditQueue, folder: PartFolder
) -> Mended:
    captions = RedisCaptionQueue(job, name=member_name("scan"), lease_seconds=config.lease_seconds)
    recovery = Recovery(captions, folder, leave_unreadable=True)
    return await Mender(audit, queue, folder, recovery, chunk_size=config.chunk_size).run()


async def _refuse_another(queue: RedisAuditQueue, identity: str) -> None:
    """Refuse a data set that is not the job's: all of it would be missing."""
    owner = await queue.dataset()
    if owner not in {None, identity}:
        raise QueueUnfit(
            f'The job "{queue.job}" on this Redis captions another data set, {owner}. '
            "Give that one, or name the job of this one with --job."
        )


def _only_folder(data_dir: Path) -> str:
    """Find the job of a data directory that has parts of one."""
    names = sorted({part.parent.name for part in data_dir.glob("*/part-*.parquet")})
    if len(names) == 1:
        return names[0]
    found = f"{data_dir} has parts of {len(names)} jobs" if names else f"{data_dir} has no parts"
    raise ConfigError(f"{found}: say which job with --job, or give the PATH of its data set.")
