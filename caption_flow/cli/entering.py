"""Command line: the way to a job through a proxy, for those who do not reach its Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from caption_flow.config import JobConfig, MonitorConfig, WorkerConfig
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.grants import Role
from caption_flow.lifecycle import Drain, cancel
from caption_flow.remote.entrance import Entrance, member_word
from caption_flow.remote.link import Link

_OPTIONS = (
    click.option(
        "--server", metavar="URL", help="wss:// URL of a proxy, where Redis is not reached."
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        help="What lets us in there; better as CAPTION_FLOW_TOKEN, which ps does not show.",
    ),
    click.option(
        "--ca-cert", metavar="FILE", help="Certificate that the proxy's is checked against."
    ),
    click.option(
        "--no-verify-ssl",
        is_flag=True,
        default=None,
        help="Trust whoever answers; for development only.",
    ),
)
COME_SECONDS = 0.05  # between two looks whether the proxy has let us in


def entering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a proxy; the command gets what they override as `way`."""

    @wraps(function)
    def with_way(
        server: str | None,
        token: str | None,
        ca_cert: str | None,
        no_verify_ssl: bool | None,
        **rest: Any,
    ) -> Any:
        verify = False if no_verify_ssl else None
        way = {"server": server, "token": token, "ca_cert": ca_cert, "verify_ssl": verify}
        return function(way=way, **rest)

    made: Callable[..., Any] = with_way
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def check_way(config: JobConfig | WorkerConfig | MonitorConfig) -> None:
    """Refuse two ways to a job, and a proxy without a token."""
    if config.server and config.redis:
        raise ConfigError(
            "Both a Redis and a server are configured (--redis, --server, a document or "
            "variables). Come through one of the two: take the other away."
        )
    if config.server and not config.token:
        raise ConfigError(
            "token is missing. Give the one that the operator of the job has made for you, as "
            "CAPTION_FLOW_TOKEN, as token: in the document or with --token."
        )


def entrance(config: JobConfig | WorkerConfig | MonitorConfig, role: Role, member: str) -> Entrance:
    """Say where the proxy is, and what we show there."""
    check_way(config)
    return Entrance(
        str(config.server),
        str(config.token).strip(),
        role=role,
        member=member_word(member),
        verify_ssl=config.verify_ssl,
        ca_cert=Path(config.ca_cert) if config.ca_cert else None,
    )


@asynccontextmanager
async def entered(way: Entrance, drain: Drain) -> AsyncIterator[Link]:
    """Come in; asks to drain when the proxy turns us away for good, and raises that in the end."""
    async with Link(way) as link:
        watching = asyncio.create_task(_watch(link, drain))
        try:
            yield link
        finally:
            await cancel(watching)
        if link.failure is not None:
            raise link.failure


async def let_in(link: Link, drain: Drain) -> None:
    """Wait until the proxy has said welcome; raises what keeps us out for good."""
    while not (link.welcome.ticket or drain.asked):
        if link.failure is not None:
            raise link.failure
        await drain.wait(COME_SECONDS)


async def _watch(link: Link, drain: Drain) -> None:
    """Drain when the proxy turns us away for good: nobody else may be asking it."""
    try:
        while True:
            await link.news()
    except CaptionFlowError:
        drain.ask()
