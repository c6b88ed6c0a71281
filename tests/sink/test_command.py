"""The sink as a user has it, a process, on a disk that is full or was never fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, settings, wait_until
from tests.e2e.jobs import Job, embedded
from tests.e2e.pictures import digests, draw, rows, said
from tests.sink.disks import Disk, mounted

__all__ = ["desk"]

COUNT = 20
SIMULATED = settings(engine="simulated")


@pytest.fixture
def disk(desk: Desk) -> Iterator[Disk]:
    """What the captions of the job `photos` are to be written to."""
    draw(desk.folder / "photos", COUNT)
    with mounted(desk.folder / "caption_data" / "photos") as small:
        yield small


def check(desk: Desk, disk: Disk) -> None:
    """All rows once, and nothing left over."""
    assert said(rows(disk.path)) == sorted(digests(desk.folder / "photos").items())
    assert list(disk.path.glob(".*")) == []


def captioned(desk: Desk, url: str) -> Job:
    """A job of which only the sink's work is left."""
    flags = ("--redis", url, "--job", "photos")
    desk.start("feed", "photos", *flags, *SIMULATED)
    desk.start("worker", *flags)
    job = Job(url, "photos")
    job.wait_for("completed", COUNT)
    return job


def test_sink_writes_without_pandas_which_is_installed(desk: Desk, redis_url: str):
    """It would take longer to load than what it is loaded for."""
    draw(desk.folder / "photos", COUNT)
    job = captioned(desk, redis_url)
    flags = ("--redis", redis_url, "--job", "photos", *settings(storage__rows_per_part=COUNT))
    sink = desk.start("sink", *flags, cold=True)
    job.wait_for("captioned", COUNT)

    loaded = Path(f"/proc/{sink.pid}/maps").read_text()

    assert "libarrow" in loaded
    assert "pandas" not in loaded


def test_sink_waits_for_space_and_goes_on(desk: Desk, disk: Disk, redis_url: str):
    job = captioned(desk, redis_url)
    disk.fill()
    sink = desk.start("sink", "--redis", redis_url, "--job", "photos", "--exit-when-done")
    sentence = "No space left in caption_data/photos. Free some; nothing is lost. Next try in "
    wait_until(lambda: sink.err.count(sentence) >= 2, "a sink that waits")
    assert (job.length("captions"), job.count("captioned")) == (COUNT, 0)

    disk.free()
    ended = sink.wait()

    assert ended.code == 0, ended.words
    assert "Traceback" not in ended.err
    check(desk, disk)


def test_sink_that_waits_for_space_ends_at_once_when_asked(desk: Desk, disk: Disk, redis_url: str):
    """And hands back what it held: without waiting for a lease the next one has it."""
    job = captioned(desk, redis_url)
    flags = ("--redis", redis_url, "--job", "photos", *settings(lease_seconds=3600))
    sink = desk.start("sink", *flags)
    wait_until(lambda: job.pending("captions"), "a sink that holds the captions")
    disk.fill()
    wait_until(lambda: "No space left in" in sink.err, "a sink that waits")

    ended = sink.terminate()

    assert ended.code == 0, ended.words
    assert "What is not in a part stays in the queue" in ended.err
    assert job.pending("captions") == {"returned": COUNT}
    disk.free()
    assert desk.run("sink", *flags, "--exit-when-done").code == 0
    check(desk, disk)


def test_run_waits_for_space_and_starts_no_other_sink(desk: Desk, disk: Disk):
    disk.fill()
    running = desk.start("run", "photos", *SIMULATED)
    log = desk.folder / "caption_data" / ".logs" / "photos" / "sink.log"
    waits = lambda: log.exists() and "No space left in" in log.read_text()  # noqa: E731 - asked again and again
    wait_until(waits, "a sink that waits")
    job = embedded(desk.folder / "caption_data", "photos")
    job.wait_for("completed", COUNT)
    sinks = job.pids("sink")
    disk.free()
    ended = running.wait()

    assert ended.code == 0, ended.words
    assert "has ended" not in ended.err
    assert len(sinks) == 1
    check(desk, disk)


@pytest.mark.parametrize(
    "command", [("run", "photos"), ("feed", "photos"), ("sink", "--job", "photos")]
)
def test_data_dir_that_cannot_be_written_to_is_a_mistake(
    desk: Desk, redis_url: str, command: tuple[str, ...]
):
    draw(desk.folder / "photos", 1)
    (desk.folder / "file").touch()
    flags = ("--redis", redis_url, *SIMULATED, "--data-dir", desk.folder / "file" / "captions")
    if command[0] == "sink":
        assert desk.run("feed", "photos", "--redis", redis_url, *SIMULATED).code == 0

    ended = desk.run(*command, *flags)

    assert ended.code == 2, ended.words
    assert "Traceback" not in ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert last.endswith("set storage.data_dir to another folder.")
