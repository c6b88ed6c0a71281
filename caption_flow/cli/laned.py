"""Command line: a job's lanes: how many it has, and what serves them."""

from pathlib import Path

from caption_flow.config.broadcast import Broadcast
from caption_flow.errors import ConfigError
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.dead import LanedDeadLetters
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.lanes.office import LanedOffice
from caption_flow.queue.office import RedisOffice
from caption_flow.queue.ports import DeadLetters, Settings


def lanes_in(settings: Settings | None) -> int:
    """Read how many lanes a job has."""
    return 1 if settings is None else Broadcast.decode(settings.document).lanes


def with_lanes(job: RedisJob, count: int) -> RedisJob:
    """Give the job as a whole."""
    return job if count == 1 else LanedJob(job, count)


def refuse_lanes(settings: Settings | None, job: str, what: str) -> None:
    """Refuse what would see one lane only."""
    if (count := lanes_in(settings)) > 1:
        raise ConfigError(
            f'The job "{job}" has {count} lanes, and {what} does not know of lanes yet. '
            "It serves jobs with lanes: 1."
        )


def refuse_other_lanes(settings: Settings | None, job: str, wanted: int) -> None:
    """Refuse to go on with a job in another number of lanes: what is in them would be lost."""
    if settings is not None and (count := lanes_in(settings)) != wanted:
        raise ConfigError(
            f'lanes is {wanted}, but the job "{job}" has {count}, which never changes. Set lanes '
            f"to {count}, or begin another job with --job."
        )


def refuse_proxy(lanes: int) -> None:
    """Refuse a proxy of a job with several lanes."""
    if lanes > 1:
        raise ConfigError(
            f"lanes is {lanes}, and a proxy does not know of lanes yet. Set lanes to 1, or start "
            "without a proxy (--no-proxy), with workers that reach Redis."
        )


def refuse_merging(lanes: int, folder: Path) -> None:
    """Refuse to merge parts of several lanes unseen: sinks could not go on in such a folder."""
    if lanes > 1:
        raise ConfigError(
            f"lanes is {lanes}, and parts of several lanes must not be merged while their job is "
            f"to go on. If it never will, merge {folder} with --set lanes=1."
        )


def office_at(job: RedisJob) -> RedisOffice:
    """Give the office of a job."""
    if isinstance(job, LanedJob):
        return LanedOffice(job, len(job.lanes))
    return RedisOffice(job.connections, job.job)


def letters_at(job: RedisJob) -> DeadLetters:
    """Give the dead letters of a job."""
    if isinstance(job, LanedJob):
        return LanedDeadLetters(job, len(job.lanes))
    return RedisDeadLetters(job.connections, job.job)


def inspector_of(job: RedisJob, count: int) -> RedisInspector:
    """Give the inspector of a job with so many lanes."""
    return office_at(with_lanes(job, count))
