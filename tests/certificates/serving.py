"""A server that says a word over TLS, and a client that hears it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509

from caption_flow.certificates.contexts import client_context
from tests.talking import talking

WORD = b"served\n"


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Serve at a port: each line that comes is answered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(WORD)

    async with talking(answer, context) as port:
        yield port


class Connection:
    """One to such a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def serial(self) -> int:
        """Of the certificate that was shown."""
        der = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def works(self) -> bool:
        self._writer.write(b"?\n")
        return await self._reader.readline() == WORD


@asynccontextmanager
async def connected(
    port: int,
    trusted: Path | None,
    *,
    name: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Connection]:
    """Connect as clients do; `trusted`: what they believe, nothing: anybody."""
    context = context or client_context(verify_ssl=trusted is not None, ca_cert=trusted)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
