"""The embedded Redis of several runs: one owns it, the others are guests and take over."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.queue import embedded
from caption_flow.queue.embedded import EmbeddedRedis, running_url
from tests.queue.embedding import (
    OtherRun,
    alive,
    binary,
    directory,
    other_run,
    process_of,
)

__all__ = ["binary", "directory"]


def test_second_run_adopts_the_server_and_leaves_it(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as owner:
        with EmbeddedRedis(directory, binary=binary) as guest:
            assert not guest.owned
            assert process_of(guest.url) == process_of(owner.url)

        assert running_url(directory) == owner.url


def test_runs_that_start_at_once_share_one_server(directory: Path, binary: Path):
    runs = [OtherRun(directory, binary) for _ in range(4)]
    owners = [run.owned for run in runs]
    for run in runs:
        run.kill()

    assert sorted(owners) == [False, False, False, True]


def test_guest_takes_over_when_the_owner_has_ended(directory: Path, binary: Path):
    with other_run(directory, binary) as owner:
        assert owner.owned
        with EmbeddedRedis(directory, binary=binary) as guest:
            assert not guest.owned
            owner.end()

            guest.start()

            assert guest.owned
            assert running_url(directory)


async def revived(server: EmbeddedRedis, directory: Path) -> str:
    """URL of the server that answers after as many steps as it takes."""
    async with asyncio.timeout(20):
        while (url := await asyncio.to_thread(running_url, directory)) is None:
            with suppress(QueueUnreachable):
                await server.revive()
            await asyncio.sleep(0.05)
    return url


async def test_server_that_was_killed_is_revived(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server:
        lost = process_of(server.url)
        os.kill(lost, signal.SIGKILL)

        assert process_of(await revived(server, directory)) != lost
    assert running_url(directory) is None


async def test_guest_revives_the_server_of_an_owner_that_has_ended(directory: Path, binary: Path):
    with other_run(directory, binary) as owner:
        assert owner.owned
        with EmbeddedRedis(directory, binary=binary) as guest:
            owner.end()
            await revived(guest, directory)

            assert guest.owned


async def test_guest_revives_no_server_that_lives(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as owner:
        pid = process_of(owner.url)
        guest = EmbeddedRedis(directory, binary=binary)
        await guest.revive()

        assert not guest.owned
        assert process_of(running_url(directory)) == pid


async def test_server_that_ended_is_told_of_before_it_is_revived(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server:
        os.kill(process_of(server.url), signal.SIGKILL)

        async def revive() -> None:
            while True:
                await server.revive()
                await asyncio.sleep(0.01)

        with pytest.raises(QueueUnreachable, match=r"ended with -9\. .*redis\.log ends:"):
            await asyncio.wait_for(revive(), 20)


async def test_server_that_stands_still_holds_nobody_up(directory: Path, binary: Path):
    """Neither who would revive it nor who ends it."""
    with EmbeddedRedis(directory, binary=binary) as server:
        pid = process_of(server.url)
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()

        await server.revive()
        server.stop()

    assert time.monotonic() - begun < 20
    assert not alive(pid)


def test_owner_that_shows_no_server_is_waited_for_and_named(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as owner:
        pid = process_of(owner.url)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(QueueUnreachable, match="was silent for 0 s"):
                EmbeddedRedis(directory, binary=binary, patience=0.1).start()
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def orphan(directory: Path, binary: Path) -> Iterator[int]:
    """A server whose owner was killed and which lives on, as it may where it has no leash."""
    unleash = "from caption_flow.queue import embedded\nembedded._DIES_WITH_PARENT = False\n"
    with other_run(directory, binary, first=unleash) as owner:
        assert owner.owned
        pid = process_of(running_url(directory))
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_orphan_is_taken_over_and_ended(
    directory: Path, binary: Path, orphan: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded, "_DIES_WITH_PARENT", False)
    with EmbeddedRedis(directory, binary=binary) as heir:
        assert heir.owned
        assert process_of(heir.url) == orphan

    assert not alive(orphan)


@pytest.mark.usefixtures("orphan")
def test_orphan_is_not_adopted_while_it_may_be_on_its_way_out(directory: Path, binary: Path):
    """It answers until its last moment, and would be gone under the roles."""
    with pytest.raises(QueueUnreachable, match="was silent"):
        EmbeddedRedis(directory, binary=binary, patience=0.2).start()
