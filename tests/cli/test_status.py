"""`caption-flow status` and `monitor`: a job at a glance."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.cli import status as status_command
from caption_flow.cli.showing import console_here
from caption_flow.queue.connect import connect
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.office import RedisOffice
from caption_flow.queue.ports import Member
from tests.audit.archive import Archive
from tests.audit.office import ALL, Office
from tests.cli.full_screen import Terminal
from tests.e2e.desk import Desk, Ended, wait_until
from tests.e2e.desk import settings as flags
from tests.e2e.pictures import draw, rows
from tests.made import settings
from tests.queue.shop import chunk_of
from tests.redis_server import RedisServer
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
    until,
)

__all__ = ["brisk", "roles"]

SIMULATED = flags(engine="simulated")


@pytest.fixture
async def archive(roles: Roles, tmp_path: Path) -> Iterator[Archive]:
    """A job in its middle, of which bob wants not to be named."""
    office = Office(roles, tmp_path / "pictures")
    made = Archive(office)
    await made.in_the_middle()
    board = RedisContributors(roles.job.connections, JOB)
    await board.spent("bob", 3600.0, anonymous=True)
    await roles.job.beat(Member("worker", "rig", "host-a", 1, 0.0, 2e9, "working", {"rows": 3.0}))
    yield made
    office.close()


async def status(desk: Desk, *words: object) -> Ended:
    done = await asyncio.to_thread(desk.start("status", *words).wait)
    assert done.code == 0, done.words
    return done


async def test_status_shows_what_there_is_to_know_of_a_job(
    archive: Archive, desk: Desk, redis_url: str
):
    done = await status(desk, "--redis", redis_url)

    shown = done.out
    assert shown.startswith(f"{JOB}: planned, settings of version ")
    for words in (
        "Limit      ",
        "65.0%  13 of 20",
        "1 worker",
        "2: engine 2",
        "samples:caption",
        "host-a",
        "ada",
        "(anonymous: 1)",
    ):
        assert words in shown
    assert "bob" not in shown
    assert archive.makers()["bob"] == 3


async def test_status_on_a_pipe_is_plain_lines(archive: Archive, desk: Desk, redis_url: str):
    """One for each row, however long, and nothing that is for a terminal."""
    long = Member("sink", "shelf", "host-s", 1, 0.0, 2e9, "working", {}, {"part": "p" * 300})
    await archive.roles.job.beat(long)

    shown = (await status(desk, "--redis", redis_url)).out

    assert "\x1b" not in shown
    [row] = [line for line in shown.splitlines() if "shelf" in line]
    assert "p" * 300 in row
    assert all(line == line.rstrip() for line in shown.splitlines())


@pytest.mark.usefixtures("archive")
async def test_pipe_is_no_terminal_whatever_variables_say(desk: Desk, redis_url: str):
    """As those that CI systems set."""
    told = ("--redis", redis_url, "--job", JOB)
    forced = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}
    for words in (("status", *told), ("contributors", "list", *told), ("dead", "list", *told)):
        done = await asyncio.to_thread(desk.start(*words, environ=forced).wait)
        assert done.code == 0, done.words
        assert "\x1b" not in done.out


async def test_graph_is_drawn_with_the_letters_that_there_are(
    archive: Archive, desk: Desk, redis_url: str
):
    job = archive.roles.job
    for ago in (600, 300):
        await job.client.rpush(job.lane.history, json.dumps([time.time() - ago, 0, 0, 0]))
    plain = {"PYTHONIOENCODING": "ascii"}
    running = desk.start("status", "--redis", redis_url, environ=plain)
    done = await asyncio.to_thread(running.wait)

    assert "minutes ago" in done.out
    assert "\\u2588" not in done.out


@pytest.mark.usefixtures("archive")
async def test_status_fits_a_narrow_terminal(desk: Desk, redis_url: str):
    with Terminal(desk.folder, "status", "--redis", redis_url, columns=40, lines=60) as terminal:
        assert await asyncio.to_thread(terminal.ended) == 0
        await asyncio.to_thread(wait_until, lambda: "hours" in terminal.text, "the end")
        rows = terminal.text.splitlines()

    titles = next(row for row in rows if row.startswith("worker"))
    assert titles.split() == ["worker", "state", "rate"]
    assert "stream               waiting      held" in rows
    assert "captioned 8, dead 2" in " ".join(terminal.text.split())


async def test_status_is_repeated_until_it_is_stopped(archive: Archive, desk: Desk, redis_url: str):
    running = desk.start("status", "--redis", redis_url, "--json", "--watch", "0.1")
    await until(lambda: running.out.count("\n") >= 2 or running.ended)
    await archive.caption("ada", 1)
    await until(lambda: '"completed":12' in running.out or running.ended)

    running.signal(signal.SIGINT)

    done = await asyncio.to_thread(running.wait)
    assert done.code == 0, done.words
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [told[0]["books"]["completed"], told[-1]["books"]["completed"]] == [11, 12]


async def test_status_that_is_repeated_waits_for_a_server_that_is_away(
    desk: Desk, own_server: RedisServer
):
    async with connect(own_server.url, role="test") as connections:
        await Roles(connections, desk.folder).feed_queue().publish(settings().encode(), "pictures")
    running = desk.start("status", "--redis", own_server.url, "--watch", "0.1")
    await until(lambda: "settings of version 1" in running.out or running.ended)

    own_server.stop()
    await until(lambda: "No answer from" in running.err or running.ended)
    seen = running.out.count("settings of version 1")
    own_server.start()
    await until(lambda: running.out.count("settings of version 1") > seen or running.ended)

    assert not running.ended, running.err


async def test_status_is_one_document(archive: Archive, desk: Desk, redis_url: str):
    told = json.loads((await status(desk, "--redis", redis_url, "--json")).out)

    books = told["books"]
    assert told["job"] == JOB
    assert (books["planned"], books["captioned"], books["dead"]) == (ALL, 8, 2)
    assert books["in_chunks"] + books["in_flight"] == ALL - 10
    [captions] = [one for one in told["streams"] if one["stream"] == "captions"]
    assert (captions["waiting"], captions["held"]) == (2, 1)
    assert [member["name"] for member in told["members"]] == ["rig"]
    first, second = told["leaderboard"]
    assert (first["rank"], first["name"], first["captions"]) == (1, "ada", 5)
    assert (second["kind"], second["name"], second["captions"]) == ("anonymous", "", 3)
    assert (await archive.roles.counts()).captioned == 8


async def test_status_lists_all_shards(archive: Archive, desk: Desk, redis_url: str):
    done = await status(desk, "--redis", redis_url, "--shards", "--json")
    listed = (await status(desk, "--redis", redis_url, "--shards")).out.splitlines()

    root, below = (json.loads(line) for line in done.out.splitlines())
    assert [root["name"], below["name"]] == [".", "below"]
    assert root["planned"] + below["planned"] == ALL
    assert (root["captioned"] + below["captioned"], root["dead"] + below["dead"]) == (8, 2)
    assert [line.split()[0] for line in listed] == ["shard", ".", "below"]
    assert archive.makers()


async def test_status_lists_shards_of_any_number_as_it_reads_them(
    roles: Roles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(status_command, "_SHARDS", 2)
    names = ["a", "b\udcff", "c", "d", 'e"\\ud800']
    for number, name in enumerate(names):
        chunk = chunk_of(str(number), 1, name)
        before = await roles.feed_queue().position()
        await roles.feed_queue().plan(before, str(number), chunk, backlog=9, done=False)
    office = RedisOffice(roles.job.connections, JOB)

    await status_command._list_shards(office, status_command._shard_lines)
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == names

    await status_command._list_shards(office, status_command._tables(console_here()))
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed if line][::3] == ["shard"] * 3
    assert (len(listed), listed.count("")) == (len(names) + 3 + 2, 2)


def test_shards_are_not_listed_again_and_again(desk: Desk):
    done = desk.run("status", "--shards", "--watch")

    assert done.code == 2
    assert "leave --watch out" in done.err


def test_job_that_has_ended_is_looked_at_in_its_own_redis(desk: Desk):
    images = draw(desk.folder / "photos", 5)
    assert desk.run("run", images, *SIMULATED).code == 0

    told = json.loads(desk.run("status", "--json").out)
    [own] = desk.run("contributors", "list", "--json").out.splitlines()

    assert (told["done"], told["books"]["captioned"]) == (True, 5)
    assert [(line["kind"], line["captions"]) for line in told["leaderboard"]] == [("own", 5)]
    found = rows(desk.folder / "caption_data" / "photos")
    counted = json.loads(own)
    assert (counted["name"], counted["captions"]) == ("", len(found))
    assert counted["output_tokens"] == sum(row["output_tokens"] for row in found)


async def test_monitor_looks_again_until_it_is_stopped(
    archive: Archive, desk: Desk, redis_url: str
):
    (desk.folder / "monitor.yaml").write_text("refresh_rate: 0.1\nshow_contributors: false\n")
    running = desk.start("monitor", "--redis", redis_url, "--job", JOB)
    await until(lambda: running.out.count("settings of version 1") >= 2 or running.ended)
    await archive.caption("ada", 1)
    await until(lambda: running.out.count("settings of version 1") >= 5 or running.ended)

    running.signal(signal.SIGINT)

    done = await asyncio.to_thread(running.wait)
    assert done.code == 0, done.words
    assert "ada" not in done.out


async def test_monitor_waits_for_a_server_that_is_away(desk: Desk, own_server: RedisServer):
    async with connect(own_server.url, role="test") as connections:
        await Roles(connections, desk.folder).feed_queue().publish(settings().encode(), "pictures")
    (desk.folder / "monitor.yaml").write_text(f"redis: {own_server.url}\nrefresh_rate: 0.1\n")
    running = desk.start("monitor")
    await until(lambda: "settings of version 1" in running.out or running.ended)

    own_server.stop()
    await until(lambda: "No answer from" in running.out or running.ended)
    seen = running.out.count("settings of version 1")
    own_server.start()
    await until(lambda: running.out.count("settings of version 1") > seen or running.ended)

    assert not running.ended, running.err
