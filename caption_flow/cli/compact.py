"""`caption-flow compact`: merge small parts into large ones, while the job runs or after it."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from caption_flow.audit.compact import Compacted, Compaction
from caption_flow.audit.registers import FolderRegister, QueueRegister, Register
from caption_flow.audit.seeing import See
from caption_flow.cli import saying
from caption_flow.cli.asking import NoRedis, started_redis
from caption_flow.cli.bar import Bar
from caption_flow.cli.laned import refuse_lanes, refuse_merging
from caption_flow.cli.options import data_options, job_config, overrides
from caption_flow.cli.running import embedded_directory
from caption_flow.cli.view_place import parts_of
from caption_flow.config import JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import CaptionFlowError
from caption_flow.herald import member_name
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import check_server, connect
from caption_flow.queue.job import RedisJob

ROWS = 200_000  # of a merged part


@click.command("compact")
@click.argument("where", metavar="[JOB or FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--rows-per-part",
    type=click.IntRange(min=2),
    default=ROWS,
    show_default=True,
    help="Most rows of a merged part; parts with half of them are left alone.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be merged, and change nothing.")
@data_options
def command(
    where: Path | None,
    rows_per_part: int,
    dry_run: bool,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
) -> None:
    """Merge small parts into large ones, each sorted by shard and sample. Roles may run.

    Names a job, or the folder of its parts; without it, the only job of the data directory.
    """
    made = overrides(changes, redis=redis, job=job, storage__data_dir=data_dir)
    settings = job_config("compact", explicit, made, dict(os.environ))
    folder, config = parts_of(settings, where)
    elsewhere = "" if made.get("redis") else _elsewhere(settings, folder)
    with Bar() as bar:
        done, why = _compact(config, rows_per_part, bar.see, elsewhere, dry_run=dry_run)
    if why:
        saying.warn(f"No Redis was asked. {why}")
    click.echo(_said(done, dry_run=dry_run))
    if done.unreadable:
        raise CaptionFlowError("\n".join(done.unreadable))


def _elsewhere(settings: JobConfig, folder: PartFolder) -> str:
    """Say why the Redis of the settings is not asked about this folder; empty where it is.

    It may be a copy of the job's, as a backup: to the sinks, what is merged there is not.
    """
    known = Path(settings.storage.data_dir, folder.path.name).resolve()
    if settings.redis is None or folder.path.resolve() == known:
        return ""
    return (
        f"{folder.path} is not the folder of the settings, which is {known}: give --redis URL if "
        "it is the one that the sinks write to."
    )


def _compact(
    config: JobConfig, rows: int, see: See, elsewhere: str, *, dry_run: bool
) -> tuple[Compacted, str]:
    """Merge the parts; answers what was done, and why no Redis was asked, if none was."""
    folder = PartFolder(Path(config.storage.data_dir), config.job or "")

    async def merge(register: Register) -> Compacted:
        compaction = Compaction(folder, register, rows=rows, see=see)
        return await (compaction.survey() if dry_run else compaction.run())

    async def with_redis(url: str) -> Compacted:
        async with connect(url, role="compact") as connections:
            await check_server(connections.commands)
            job = RedisJob(connections, folder.path.name)
            settings = await job.settings()
            if settings is None:
                raise NoRedis(f'{connections.host} has no job "{job.job}".')
            refuse_lanes(settings, job.job, '"caption-flow compact"')
            name, lease = member_name("compact"), config.lease_seconds
            queue = RedisCaptionQueue(job, name=name, lease_seconds=lease)
            return await merge(QueueRegister(folder, queue))

    try:
        return _at_redis(config, elsewhere, with_redis), ""
    except NoRedis as exc:
        if not dry_run:
            refuse_merging(config.lanes, folder.path)
        return asyncio.run(merge(FolderRegister(folder))), str(exc)


def _at_redis(
    config: JobConfig, elsewhere: str, use: Callable[[str], Coroutine[Any, Any, Compacted]]
) -> Compacted:
    """Use the job's Redis; NoRedis where none is configured, or one of its own does not start."""
    if elsewhere:
        raise NoRedis(elsewhere)
    if config.redis is None and not embedded_directory(config).exists():
        raise NoRedis("None is configured.")
    with started_redis(config) as url:
        return asyncio.run(use(url))


def _said(done: Compacted, *, dry_run: bool) -> str:
    """Say in one line what was done."""
    if not done.parts:
        said = "Nothing would be merged" if dry_run else "Nothing was merged"
    else:
        does = "Would merge" if dry_run else "Merged"
        said = f"{does} {_count(done.parts)} with {done.rows:,} rows into {done.into:,}"
    if done.changed:
        said += f"; {_count(done.changed)} changed meanwhile: run this again for them"
    if done.kept:
        files = "1 replaced file is" if done.kept == 1 else f"{done.kept:,} replaced files are"
        said += f"; {files} kept until those who read them are done"
    return f"{said}."


def _count(parts: int) -> str:
    return "1 part" if parts == 1 else f"{parts:,} parts"
