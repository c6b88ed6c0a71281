"""What takes long shows how far it is: on a terminal, and until it is done; nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.audit.archive import Archive
from tests.audit.office import Office
from tests.cli.on_terminal import ERASED, Shown, on_terminal, program_on_terminal
from tests.e2e.desk import Desk, settings
from tests.e2e.pictures import draw
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
)

__all__ = ["brisk", "roles"]

SIMULATED = settings(engine="simulated")


def assert_came_and_went(shown: Shown, doing: str) -> None:
    assert shown.code == 0, shown
    assert doing in shown.terminal
    assert ERASED in shown.terminal
    assert doing not in shown.last
    assert shown.out.count(doing) == 0


@pytest.fixture
async def archive(roles: Roles, tmp_path: Path) -> AsyncIterator[Archive]:
    """A job with parts of two contributors, and two dead letters."""
    office = Office(roles, tmp_path / "pictures")
    made = Archive(office)
    await made.in_the_middle()
    yield made
    office.close()


@pytest.fixture
def where(archive: Archive, redis_url: str) -> tuple[object, ...]:
    return ("--redis", redis_url, "--job", JOB, "--data-dir", archive.roles.folder.path.parent)


COMMANDS = {
    "scan": (("scan_chunks",), "reading parts"),
    "revoke": (("contributors", "revoke", "ada", "--requeue", "--yes"), "rewriting parts"),
    "export": (("dead", "export", "dead.jsonl"), "writing"),
    "compact": (("compact",), "merging parts"),
    "drop": (("dead", "drop", "--all", "--yes"), "dropping"),
    "retry": (("dead", "retry", "--all"), "retrying"),
}


@pytest.mark.parametrize(("words", "doing"), COMMANDS.values(), ids=COMMANDS)
async def test_bar_of_a_command_is_gone_when_it_ends(
    words: tuple[str, ...], doing: str, where: tuple[object, ...], desk: Desk
):
    shown = await asyncio.to_thread(on_terminal, desk.folder, *words, *where)

    assert_came_and_went(shown, doing)


@pytest.mark.parametrize(("words", "doing"), [COMMANDS["scan"], COMMANDS["retry"]])
async def test_pipe_sees_no_bar(
    words: tuple[str, ...], doing: str, where: tuple[object, ...], desk: Desk
):
    done = await asyncio.to_thread(desk.run, *words, *where)

    assert done.code == 0, done.words
    assert "\x1b" not in done.out + done.err
    assert doing not in done.out + done.err


@pytest.fixture
def photos(desk: Desk) -> Iterator[Path]:
    return draw(desk.folder / "photos", 5)


@pytest.mark.parametrize(
    ("flags", "doing"), [((), "feeding"), (("--dry-run",), "looking at samples")]
)
def test_feeding_shows_how_far_it_is(
    flags: tuple[str, ...], doing: str, photos: Path, desk: Desk, redis_url: str
):
    words = ("feed", photos, "--redis", redis_url, *SIMULATED, *flags)

    piped, shown = desk.run(*words), on_terminal(desk.folder, *words)

    assert_came_and_went(shown, doing)
    assert "\x1b" not in piped.out + piped.err
    assert doing not in piped.err


PROGRAM = """
import logging
from caption_flow import logs
from caption_flow.cli.bar import Bar
logs.set_up("info")
logger = logging.getLogger("caption_flow.x")
with Bar() as bar:
    bar.show("counting", 1, 2)
    logger.warning("first line")
    print("a result")
    bar.show("counting", 2, 2, "", "two [bold]words[/bold]", "")
logger.warning("last line")
"""


def test_log_lines_stand_above_the_bar(tmp_path: Path):
    """Each on a line of its own, which is not erased with the bar; results go where they should."""
    shown = program_on_terminal(tmp_path, "-c", PROGRAM)

    assert shown.out == "a result\n"
    first = shown.terminal.index("WARNING first line\r\n")
    assert "counting" in shown.terminal[first:]
    assert "two [bold]words[/bold]" in shown.terminal  # not taken for markup
    assert ERASED in shown.terminal[first:]
    assert shown.last.endswith("WARNING last line\r\n")
    assert "first line" not in shown.last


def test_bar_gives_way_to_other_programs(photos: Path, desk: Desk, redis_url: str):
    """Who drives us by `--progress json` reads that, and shows something of its own."""
    words = ("feed", photos, "--redis", redis_url, *SIMULATED, "--progress", "json")

    shown = on_terminal(desk.folder, *words)

    assert shown.code == 0
    assert "feeding" not in shown.terminal
    assert '"exit_code":0' in shown.out
