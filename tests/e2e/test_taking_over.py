"""A feeder that takes a shard over half-way reads the rest of it, and nothing of what was fed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.feeders.tars import write
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg
from tests.roles import JOB

COUNT, BEFORE = 10_000, 9_000  # samples of the shard, and those that the first feeder offers
WHOLE = settings(chunk_size=COUNT, lease_seconds=1, engine="simulated", dataset__type="webdataset")
BRIEF = (*WHOLE, *settings(budget__samples=BEFORE))


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of images that differ, of 2 KB each."""
    picture = jpeg(0).ljust(2044, b"\0")  # bytes after its end are ignored
    images = (picture + n.to_bytes(4, "big") for n in range(COUNT))
    samples = ({"__key__": f"{n:05}", "jpg": image} for n, image in enumerate(images))
    return write(tmp_path_factory.mktemp("set") / "0.tar", samples)


@pytest.fixture
def web() -> Iterator[NaughtyServer]:
    with NaughtyServer() as started:
        yield started


class Feeding:
    """Feeders of one job, one after the other."""

    def __init__(self, desk: Desk, redis_url: str, path: str, *flags: str) -> None:
        self.job = Job(redis_url, JOB)
        self._desk = desk
        self._words = ("feed", path, "--redis", redis_url, "--job", JOB, *flags)

    def killed_near_the_end(self) -> None:
        """Feed all but the last tenth."""
        first = self._desk.start(*self._words, *BRIEF)
        full = BEFORE - 16  # of what an offer holds, the last one may not have had room
        wait_until(lambda: first.ended or self.job.count("offered") >= full, "samples")
        wait_until(lambda: first.ended or self.job.count("plan_done"), "the end of the plan")
        assert not first.ended, first.wait().words
        first.kill()

    def read_to_the_end(self) -> int:
        """Feed what is left; answers the bytes read from files, those of the program included."""
        running = self._desk.start(*self._words, *WHOLE, cold=True)  # a child of ours
        read = _read_by(running)
        ended = running.wait()
        assert ended.code == 0, ended.words
        assert self.job.count("offered") == COUNT
        return read


def _read_by(running: Running) -> int:
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    lines = Path(f"/proc/{running.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


Note = Callable[[str, object], None]


def test_of_a_tar_on_this_host_the_last_tenth_is_read(
    desk: Desk, redis_url: str, tar: Path, record_property: Note
):
    feeding = Feeding(desk, redis_url, str(tar))
    feeding.killed_near_the_end()

    read = feeding.read_to_the_end() - feeding.read_to_the_end()
    record_property("bytes_read", read)
    assert 0.1 <= read / tar.stat().st_size < 0.15


def test_of_a_tar_over_http_the_last_tenth_is_fetched(
    desk: Desk, redis_url: str, tar: Path, web: NaughtyServer, record_property: Note
):
    """The list of its members is kept from the plan. So is a copy, unless there is no room."""
    url = web.serve("/0.tar", tar.read_bytes(), 'ETag: "1"')
    network = settings(dataset__allow_networks='["127.0.0.1"]', dataset__images="inline")
    feeding = Feeding(desk, redis_url, url, *network)
    feeding.killed_near_the_end()
    sent = web.sent
    rmtree(desk.folder / ".cache/caption-flow/tars/copies")

    feeding.read_to_the_end()
    record_property("bytes_sent", web.sent - sent)
    assert 0.1 <= (web.sent - sent) / tar.stat().st_size < 0.11
