"""Command line: where the proxy listens, and whether that is wise."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from caption_flow.config import JobConfig
from caption_flow.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)


def listening(function: F) -> F:
    """Add the options that say where a proxy listens."""
    for option in reversed(
        (
            click.option("--host", help="Address that the proxy listens on."),
            click.option(
                "--port", type=click.IntRange(0, 65535), help="Its port; 0: any free one."
            ),
            click.option("--cert", type=_FILE, help="Certificate of the proxy, a PEM file."),
            click.option("--key", type=_FILE, help="Its key, a PEM file."),
            click.option(
                "--no-ssl", is_flag=True, default=None, help="Listen beyond this host without TLS."
            ),
        )
    ):
        function = option(function)
    return function


def check_listening(config: JobConfig) -> None:
    """Refuse files that are no good, and to send tokens in the clear unless that is wanted."""
    if config.no_ssl:
        return
    if config.tls is not None:
        from caption_flow.certificates.contexts import check_pair  # noqa: PLC0415 - slow to import

        cert, key = config.tls
        check_pair(Path(cert), Path(key))
    elif not is_local(config.host):
        raise ConfigError(
            f"The proxy would listen on {config.host}, which others reach, without TLS: anybody on "
            "the way could read tokens and images. Give cert and key (caption-flow generate_cert "
            "makes a pair), --host 127.0.0.1, or --no-ssl where something else encrypts."
        )


def is_local(host: str) -> bool:
    """Whether only this host reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
