"""Who begins TLS with a proxy and does not go on is shown out."""

import asyncio
from pathlib import Path

import pytest

from caption_flow.certificates.contexts import server_context
from caption_flow.config.proxy import ProxyConfig
from caption_flow.proxy.server import proxy
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob
from tests.certificates.pairs import pair
from tests.made import LEASE, PATIENCE
from tests.proxy.house import GRANTS
from tests.proxy.listed import ListedTokens
from tests.roles import Roles

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01"  # how it begins


@pytest.mark.parametrize("begun", [b"", CLIENT_HELLO], ids=["silent", "begun"])
async def test_handshake_that_does_not_end_is_ended(
    connections: Connections,
    roles: Roles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun: bytes,
):
    monkeypatch.setattr("caption_flow.proxy.server.HELLO_SECONDS", 0.2)
    made = pair(tmp_path)
    tls = server_context(made.cert, made.key)
    job = RedisJob(connections, roles.job.job)
    opened = proxy(job, ListedTokens(GRANTS), ProxyConfig(), lease_seconds=LEASE)
    async with opened as door, door.listening("127.0.0.1", 0, tls) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)

        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
