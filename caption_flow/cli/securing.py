"""Command line: the TLS with which a proxy listens."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from caption_flow.certificates.reloading import Reloading
from caption_flow.config import JobConfig


@asynccontextmanager
async def secured(config: JobConfig) -> AsyncIterator[ssl.SSLContext | None]:
    """Give what a proxy listens with, renewed for as long as this is entered; None: without TLS."""
    if config.tls is None or config.no_ssl:
        yield None
        return
    cert, key = config.tls
    async with Reloading(Path(cert), Path(key)) as live:
        yield live.context
