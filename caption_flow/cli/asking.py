"""Command line: what a command needs that asks a job something once, and ends.

The roles wait for a Redis or a job that is not there yet; a question is answered now or not.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from caption_flow.cli.naming import known_job
from caption_flow.cli.options import job_config, located, overrides
from caption_flow.cli.running import embedded_directory, redis_url
from caption_flow.config import JobConfig
from caption_flow.errors import CaptionFlowError
from caption_flow.queue.connect import Connections, check_server, connect
from caption_flow.queue.embedded import EmbeddedRedis
from caption_flow.queue.job import RedisJob, only_job

T = TypeVar("T")


def asking(component: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say which job is asked; the command gets its settings as `config`."""

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_config(
            explicit: Path | None,
            redis: str | None,
            job: str | None,
            data_dir: Path | None,
            **rest: Any,
        ) -> Any:
            made = overrides((), redis=redis, job=job, storage__data_dir=data_dir)
            config = job_config(component, explicit, made, dict(os.environ))
            return function(config=config, **rest)

        option = click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            help="Folder for captions, of a job that has a Redis of its own.",
        )
        return located(option(with_config))

    return decorated


class Job:
    """A job to put questions to, one at a time; between two of them a person may be asked."""

    def __init__(self, url: str, role: str, name: str | None) -> None:
        self._url = url
        self._role = role
        self._name = name

    def ask(self, question: Callable[[RedisJob], Awaitable[T]]) -> T:
        """Put a question; an error where no Redis or no such job is there."""
        return asyncio.run(_ask(self._url, self._role, self._name, question))


@contextmanager
def job_of(config: JobConfig, role: str) -> Iterator[Job]:
    """Give the job for as long as the context lasts, and so its Redis where that is embedded."""
    with redis_of(config) as url:
        yield Job(url, role, known_job(config))


async def _ask(
    url: str, role: str, name: str | None, question: Callable[[RedisJob], Awaitable[T]]
) -> T:
    async with connect(url, role=role) as connections:
        await check_server(connections.commands)
        return await question(await _present(connections, name))


async def _present(connections: Connections, name: str | None) -> RedisJob:
    found = name or await only_job(connections)
    if found is None:
        raise CaptionFlowError(f"{connections.host} has no job yet: feed one first.")
    job = RedisJob(connections, found)
    if await job.settings() is None:
        raise CaptionFlowError(f'{connections.host} has no job "{found}". Name it with --job.')
    return job


@contextmanager
def redis_of(config: JobConfig) -> Iterator[str]:
    """Give the job's Redis; an embedded one that has ended runs while the context lasts."""
    directory = embedded_directory(config)
    if config.redis or not directory.exists():
        yield redis_url(config)
        return
    with EmbeddedRedis(directory) as embedded:
        yield embedded.url
