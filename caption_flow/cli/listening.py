"""Command line: whether a proxy may listen as it is told to, and the TLS with which it does."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from caption_flow.certificates.reloading import Reloading
from caption_flow.config import JobConfig
from caption_flow.errors import ConfigError


@asynccontextmanager
async def secured(config: JobConfig) -> AsyncIterator[ssl.SSLContext | None]:
    """Give what a proxy listens with, renewed for as long as this is entered; None: without TLS.

    Raises ConfigError where it would be open to all the world without, and nobody has said so.
    """
    if config.tls is None or config.no_ssl:
        _refuse_in_the_open(config)
        yield None
        return
    cert, key = config.tls
    async with Reloading(Path(cert), Path(key)) as live:
        yield live.context


def _refuse_in_the_open(config: JobConfig) -> None:
    if not (config.no_ssl or _is_loopback(config.host)):
        raise ConfigError(
            f"The proxy would listen on {config.host} without TLS, where others can read its "
            "tokens and images. Give cert and key (caption-flow generate_cert makes them); or "
            "--no-ssl, if something in front of it does TLS; or --host 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
