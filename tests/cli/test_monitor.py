"""`caption-flow monitor` on a terminal: what it shows, what keys do, and what it survives."""

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from caption_flow.queue.connect import connect
from caption_flow.queue.ports import Member
from tests.audit.archive import Archive
from tests.audit.office import Office
from tests.cli.full_screen import Terminal
from tests.e2e.desk import Desk, wait_until
from tests.made import settings
from tests.monitor.crowd import beat_all, worker
from tests.redis_server import RedisServer, free_port
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
)

__all__ = ["brisk", "roles"]

OTTO = "f" * 64  # a monitor's token


@pytest.fixture
async def archive(roles: Roles, tmp_path: Path) -> Iterator[Archive]:
    """A job in its middle."""
    office = Office(roles, tmp_path / "pictures")
    made = Archive(office)
    await made.in_the_middle()
    yield made
    office.close()


@pytest.fixture
def monitor(tmp_path: Path, redis_url: str):
    """Start the monitor of that job on a terminal."""
    return partial(Terminal, tmp_path / "home", "monitor", "--redis", redis_url, "--job", JOB)


async def shows(terminal: Terminal, *words: str) -> str:
    return await asyncio.to_thread(terminal.shows, *words)


async def pressed(terminal: Terminal, keys: str, *words: str) -> str:
    terminal.press(keys)
    return await shows(terminal, *words)


async def lacks(terminal: Terminal, word: str) -> None:
    await asyncio.to_thread(wait_until, lambda: word not in terminal.text, f"no {word}")


async def quits(terminal: Terminal, how: Any) -> int:
    how()
    code = await asyncio.to_thread(terminal.ended)
    await asyncio.to_thread(wait_until, lambda: terminal.restored, "a terminal as before")
    return code


async def test_each_pane_shows_its_part_of_the_job(archive: Archive, monitor: Any):
    await archive.roles.job.beat(worker(1))
    await archive.roles.job.beat(Member("sink", "shelf", "host-s", 1, 0.0, 2e9, "working"))
    with monitor() as terminal:
        first = await shows(terminal, f"{JOB}: planned, settings of version 1", "of 20")
        assert "1 worker, 1 sink" in first
        assert "engine 2" in first  # dead letters, by reason
        # A key of French keyboards, and a digit that stands for no number.
        await pressed(terminal, "²2", "node000-gpu1", "250/256", "1 to 1 of 1, by name")
        await pressed(terminal, "3", "samples:caption", "captions", "shelf")
        await pressed(terminal, "4", "ada")
        await pressed(terminal, "5", "caption of 0")
        await pressed(terminal, "6", "no answer", "Detail")
        await pressed(terminal, "\t", "Settled")
        await pressed(terminal, "\x1b[D", "no answer")
        await pressed(terminal, "?", "a pane by its number")
        await pressed(terminal, "\x1b", "no answer")
        assert await quits(terminal, lambda: terminal.press("q")) == 0
    assert "Traceback" not in terminal.sent


@pytest.mark.usefixtures("archive")
async def test_screen_of_any_size_is_filled_anew(monitor: Any):
    with monitor() as terminal:
        await shows(terminal, "Settled", "q quit")
        assert "Streams ──" not in terminal.text
        terminal.resize(200, 60)
        wide = await shows(terminal, "Streams ──", "Workers ──", "Captions ──", "Errors ──")
        assert wide.splitlines()[-1].startswith("? help")
        terminal.resize(40, 10)
        narrow = await shows(terminal, "Limit", "? help")
        assert max(map(len, narrow.splitlines())) <= 40
        terminal.resize(80, 24)
        await shows(terminal, "Settled", "q quit")
        assert await quits(terminal, lambda: terminal.press("\x03")) == 0


async def test_display_that_is_paused_stays_as_it_is(archive: Archive, monitor: Any):
    with monitor() as terminal:
        await shows(terminal, "Settled", "65.0%")
        await pressed(terminal, "p", "The display is paused")
        await archive.caption("ada", 2)
        terminal.resize(80, 25)  # which draws it
        assert "65.0%" in await shows(terminal, "Settled", "The display is paused")
        await pressed(terminal, "p", "Settled", "75.0%")


async def test_hundreds_of_workers_are_scrolled(archive: Archive, monitor: Any):
    await beat_all(archive.roles.job, 500)
    slow = worker(250)
    slow.figures["free_lately"] = 0.97
    await archive.roles.job.beat(slow)
    with monitor() as terminal:
        await shows(terminal, "500 workers")
        await pressed(terminal, "2", "1 to 12 of 500, by name", "node000-gpu0")
        await pressed(terminal, "G", "489 to 500 of 500", "node062-gpu3")
        await pressed(terminal, "\x1b[5~" * 2, "node060-gpu")
        await pressed(terminal, "g", "1 to 12 of 500")
        text = await pressed(terminal, "ss", "by free", "97%")
        # Aligned, and only what is seen is drawn.
        rows = [line for line in text.splitlines() if "250/256" in line]
        assert len(rows) == 12
        assert {row.index("250/256") for row in rows} == {rows[0].index("250/256")}
        await pressed(terminal, "r", "by free, backwards")


@pytest.mark.usefixtures("archive")
async def test_what_the_document_says_is_shown_or_not(monitor: Any, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    document = "show_contributors: false\nshow_throughput_graph: false\nmax_activity_items: 0\n"
    (home / "monitor.yaml").write_text(document)
    with monitor() as terminal:
        text = await shows(terminal, "Settled", "4 Errors")
        assert "Leaderboard" not in text
        assert "Captions" not in text
        assert "minutes ago" not in text
        await pressed(terminal, "4", "reason", "engine")
        assert "no answer" not in terminal.text


@pytest.mark.usefixtures("archive")
async def test_sigterm_gives_the_terminal_back(monitor: Any):
    with monitor() as terminal:
        await shows(terminal, "Settled")
        assert not terminal.restored

        stop = partial(terminal.process.send_signal, signal.SIGTERM)
        assert await quits(terminal, stop) == 0


async def test_error_for_good_gives_the_terminal_back_and_is_said(archive: Archive, monitor: Any):
    """Another program's key, say: waiting does not help."""
    with monitor() as terminal:
        await shows(terminal, "Settled")
        client, key = archive.roles.client, archive.office.lane.counts
        await client.set(key, "no hash")
        assert await asyncio.to_thread(terminal.ended) == 2
        await asyncio.to_thread(wait_until, lambda: terminal.restored, "a terminal as before")
        assert "not ours" in terminal.text
        assert "Traceback" not in terminal.sent


async def test_lost_redis_is_said_and_comes_back(tmp_path: Path, own_server: RedisServer):
    async with connect(own_server.url, role="test") as connections:
        await Roles(connections, tmp_path).feed_queue().publish(settings().encode(), "pictures")
    with Terminal(tmp_path / "home", "monitor", "--redis", own_server.url) as terminal:
        await shows(terminal, "settings of version 1")

        own_server.stop()
        lost = await shows(terminal, "No answer from", "This is how it was")
        assert "settings of version 1" in lost
        own_server.start()
        await lacks(terminal, "No answer from")
        await shows(terminal, "settings of version 1", "? help")


async def test_redis_that_hangs_is_said_before_it_is_given_up(
    tmp_path: Path, own_server: RedisServer
):
    async with connect(own_server.url, role="test") as connections:
        await Roles(connections, tmp_path).feed_queue().publish(settings().encode(), "pictures")
    with Terminal(tmp_path / "home", "monitor", "--redis", own_server.url) as terminal:
        await shows(terminal, "settings of version 1")
        own_server.pause()
        try:
            await shows(terminal, "No answer for")
            await pressed(terminal, "3", "stream")  # keys are heard meanwhile
        finally:
            own_server.resume()
        await lacks(terminal, "No answer")


async def test_lost_proxy_is_said_and_comes_back(
    archive: Archive, desk: Desk, redis_url: str, tmp_path: Path
):
    (desk.folder / "proxy.yaml").write_text(
        f"auth: {{monitor_tokens: [{{name: otto, token: {OTTO}}}]}}\n"
    )
    port = free_port()
    words = ("--redis", redis_url, "--job", JOB, "--host", "127.0.0.1", "--port", port)
    serving = partial(desk.start, "proxy", "--config", "proxy.yaml", *words)
    proxy = serving()
    await asyncio.to_thread(wait_until, lambda: "Serving" in proxy.out, "a proxy")
    way = ("--server", f"ws://127.0.0.1:{port}", "--token", OTTO)
    with Terminal(tmp_path / "home", "monitor", *way) as terminal:
        await shows(terminal, f"{JOB}: planned", "65.0%")

        proxy.kill()
        await shows(terminal, f"127.0.0.1:{port}", "This is how it was", "65.0%")
        assert "WARNING" not in terminal.text  # log lines do not write over it
        await archive.caption("ada", 2)
        serving()
        await shows(terminal, "75.0%", "? help")
        assert await quits(terminal, lambda: terminal.press("q")) == 0


@pytest.mark.usefixtures("archive")
async def test_dumb_terminal_gets_plain_lines(monitor: Any):
    with monitor(environ={"TERM": "dumb"}, lines=60) as terminal:
        await shows(terminal, "Settled")
        await quits(terminal, partial(terminal.process.send_signal, signal.SIGINT))
    assert "\x1b" not in terminal.sent
