"""Command line: what a command needs that asks a job something once, and ends.

The roles wait for a Redis or a job that is not there yet; a question is answered now or not.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import click

from caption_flow.cli.entering import COME_SECONDS, entering, entrance
from caption_flow.cli.laned import lanes_in, office_at, refuse_lanes, with_lanes
from caption_flow.cli.naming import known_job
from caption_flow.cli.options import job_config, located, overrides
from caption_flow.cli.running import embedded_directory, redis_url
from caption_flow.config import JobConfig, MonitorConfig
from caption_flow.errors import CaptionFlowError, ConfigError, QueueUnfit
from caption_flow.grants import Role
from caption_flow.queue.connect import Connections, check_server, connect
from caption_flow.queue.embedded import EmbeddedRedis
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.office import Office
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.link import Link
from caption_flow.remote.office import RemoteOffice

T = TypeVar("T")
Command: TypeAlias = Callable[..., Any]


def asking(component: str, *, through: bool = False) -> Callable[[Command], Command]:
    """Add the options that say which job is asked; the command gets its settings as `config`.

    `through`: those too by which it is asked through a proxy.
    """

    def decorated(function: Command) -> Command:
        @wraps(function)
        def with_config(
            explicit: Path | None,
            redis: str | None,
            job: str | None,
            data_dir: Path | None,
            way: dict[str, object] | None = None,
            **rest: Any,
        ) -> Any:
            places = {"redis": redis, "job": job, "storage__data_dir": data_dir}
            made = overrides((), **places, **(way or {}))
            config = job_config(component, explicit, made, dict(os.environ))
            return function(config=config, **rest)

        option = click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            help="Folder for captions, of a job that has a Redis of its own.",
        )
        command = option(with_config)
        return located(entering(command) if through else command)

    return decorated


class Job:
    """A job to put questions to, one at a time; between two of them a person may be asked."""

    def __init__(self, url: str, role: str, name: str | None) -> None:
        self._url = url
        self._role = role
        self._name = name

    def ask(self, question: Callable[[RedisJob], Awaitable[T]], *, laned: bool = False) -> T:
        """Put a question; an error where no Redis or no such job is there.

        `laned`: it is one for jobs of several lanes too.
        """
        return asyncio.run(_ask(self._url, self._role, self._name, question, laned=laned))


@contextmanager
def job_of(config: JobConfig, role: str) -> Iterator[Job]:
    """Give the job for as long as the context lasts, and so its Redis where that is embedded."""
    if config.server and not config.redis:
        raise ConfigError("No proxy does this. Give --redis URL, or redis: in the document.")
    with redis_of(config) as url:
        yield Job(url, role, known_job(config))


class Asked(Protocol):
    """An office to put questions to, one at a time."""

    def ask(self, question: Callable[[Office], Awaitable[T]]) -> T:
        """Put a question; an error where nobody answers now."""
        ...


class _AtRedis:
    def __init__(self, job: Job) -> None:
        self._job = job

    def ask(self, question: Callable[[Office], Awaitable[T]]) -> T:
        return self._job.ask(lambda job: question(office_at(job)), laned=True)


class _ThroughProxy:
    def __init__(self, config: JobConfig | MonitorConfig, role: Role, member: str) -> None:
        self._config = config
        self._role = role
        self._member = member

    def ask(self, question: Callable[[Office], Awaitable[T]]) -> T:
        way = entrance(self._config, self._role, self._member)
        return asyncio.run(_ask_through(way, question))


class NoRedis(CaptionFlowError):
    """A job has no Redis here, or one of its own does not start."""


@contextmanager
def started_redis(config: JobConfig) -> Iterator[str]:
    """Give the job's Redis; NoRedis where its own does not start, as on a read-only disk."""
    with ExitStack() as running:
        try:
            url = running.enter_context(redis_of(config))
        except QueueUnfit as exc:
            if config.redis:
                raise
            raise NoRedis(str(exc)) from exc
        yield url


@contextmanager
def office_of(config: JobConfig, command: str, role: Role = "admin") -> Iterator[Asked]:
    """Give the office of a job, on its Redis or through a proxy, with a token for that role."""
    if config.server:
        yield _ThroughProxy(config, role, command)
        return
    with job_of(config, command) as job:
        yield _AtRedis(job)


def at_redis(job: Job) -> Asked:
    """Give the office of a job that was found."""
    return _AtRedis(job)


def through_proxy(config: MonitorConfig) -> Asked:
    """Give the office that a monitor looks at through a proxy."""
    return _ThroughProxy(config, "monitor", "monitor")


async def _ask_through(way: Entrance, question: Callable[[Office], Awaitable[T]]) -> T:
    async with Link(way) as link:
        while not link.welcome.ticket:
            if (why := link.failure or link.trouble) is not None:
                raise why
            await asyncio.sleep(COME_SECONDS)
        return await question(RemoteOffice(link))


async def _ask(
    url: str,
    role: str,
    name: str | None,
    question: Callable[[RedisJob], Awaitable[T]],
    *,
    laned: bool,
) -> T:
    async with connect(url, role=role) as connections:
        await check_server(connections.commands)
        return await question(await _present(connections, name, role, laned=laned))


async def _present(
    connections: Connections, name: str | None, role: str, *, laned: bool
) -> RedisJob:
    found = name or await only_job(connections)
    if found is None:
        raise CaptionFlowError(f"{connections.host} has no job yet: feed one first.")
    job = RedisJob(connections, found)
    settings = await job.settings()
    if settings is None:
        raise CaptionFlowError(
            f'{connections.host} has no job "{found}". Feed it first, or name another with --job.'
        )
    if not laned:
        refuse_lanes(settings, found, f'"caption-flow {role}"')
    return with_lanes(job, lanes_in(settings))


@contextmanager
def redis_of(config: JobConfig) -> Iterator[str]:
    """Give the job's Redis; an embedded one that has ended runs while the context lasts."""
    directory = embedded_directory(config)
    if config.redis or not directory.exists():
        yield redis_url(config)
        return
    with EmbeddedRedis(directory) as embedded:
        yield embedded.url
