"""`caption-flow proxy`: where it listens, what it refuses to do, and how it ends."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from caption_flow.cli.listening import is_local
from caption_flow.wire.closing import Close
from tests.e2e.desk import Desk, settings
from tests.proxy.client import RawClient
from tests.proxy.house import ANN, publish
from tests.redis_server import RedisServer
from tests.roles import Roles, roles, until

__all__ = ["roles"]

DOCUMENT = f"auth: {{worker_tokens: [{{name: ann, token: {ANN}}}]}}\n"


async def started(folder: Path, *arguments: str) -> Process:
    document = folder / "job.yaml"
    document.write_text(DOCUMENT)
    words = ("-m", "caption_flow", "proxy", "--config", str(document), *arguments)
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=PIPE, stderr=PIPE)


async def test_it_says_where_it_listens_and_ends_within_seconds(
    redis_server: RedisServer, roles: Roles, tmp_path: Path
):
    await publish(roles)
    where = ("--redis", redis_server.url, "--job", roles.job.job)
    process = await started(tmp_path, *where, "--host", "127.0.0.1", "--port", "0")
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith(f"Serving job {roles.job.job} on ws://127.0.0.1:")
    client = await RawClient.enter(line.split()[-1], ANN)
    await until(roles.job.members)
    assert {member.role for member in (await roles.job.members()).values()} == {"proxy"}
    # One that has said nothing yet holds up nobody.
    host, port = line.split("//")[-1].strip().split(":")
    _, silent = await asyncio.open_connection(host, int(port))

    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)

    assert (await client.closed())[0] == Close.GOING
    output, errors = await process.communicate()
    assert (process.returncode, output) == (0, b"Stopped.\n"), errors
    assert time.monotonic() - asked < 10
    assert b"Traceback" not in errors
    assert await roles.job.members() == {}
    silent.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
async def test_beyond_this_host_it_needs_tls(host: str, tmp_path: Path):
    process = await started(tmp_path, "--redis", "redis://127.0.0.1:1", "--host", host)

    _, errors = await process.communicate()

    assert process.returncode == 2
    assert b"without TLS" in errors
    assert b"--no-ssl" in errors


@pytest.mark.parametrize("role", ["orchestrator", "proxy"])
def test_certificate_that_is_no_good_is_said_before_anything_else(desk: Desk, role: str):
    (desk.folder / "photos").mkdir()
    job = settings(dataset__dataset_path="photos", engine="simulated")

    done = desk.run(role, *job, "--cert", "cert.pem", "--key", "key.pem")

    assert done.code == 2
    assert done.err == "Error: cert.pem cannot be read (No such file or directory).\n"
    assert done.out == ""


async def test_port_that_is_taken_is_said(redis_server: RedisServer, tmp_path: Path):
    where = ("--redis", redis_server.url, "--job", "j", "--host", "127.0.0.1")
    process = await started(tmp_path, *where, "--port", str(redis_server.port))

    _, errors = await process.communicate()

    assert process.returncode == 2
    assert str(redis_server.port).encode() in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("", False),
        ("localhost.example.org", False),
    ],
)
def test_which_addresses_are_this_host_alone(host: str, local: bool):
    assert is_local(host) is local
