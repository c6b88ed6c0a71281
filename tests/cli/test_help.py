"""Help and version: at once, of every command, and without loading what only work needs."""

import gc
import resource
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from caption_flow import __version__
from caption_flow.cli import main
from tests.e2e.desk import Desk, environment

HEAVY = ("redis", "pyarrow", "vllm", "torch", "PIL", "yaml", "numpy", "rich")
QUICK = 0.3  # seconds of CPU, so that it is no matter how busy the machine is; 0.13 is usual


def test_help_is_quick(desk: Desk):
    def seconds() -> float:
        before = used()
        assert desk.run("--help", cold=True).code == 0
        return used() - before

    def used() -> float:
        """By all children that have ended."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    assert min(seconds() for _ in range(5)) < QUICK


def test_help_loads_nothing_heavy(desk: Desk):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "caption_flow", "--help"],
        cwd=desk.folder,
        env=environment(desk.folder),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_who_comes_to_a_redis_loads_nothing_of_proxies_and_metrics():
    program = "from caption_flow.cli import feed, sink, status, worker; import sys"
    program += "; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()).isdisjoint(
        {"httpcore2", "cryptography.x509", "prometheus_client"}
    )


def test_collector_is_kept_from_what_a_command_imports():
    """It would look through all of it again at the end: a quarter of what a short command takes."""
    gc.unfreeze()
    try:
        main.cli.resolve_command(click.Context(main.cli), ["worker"])
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_help_lists_every_command(desk: Desk):
    out = desk.run("--help").out

    assert [name for name in main.COMMANDS if f"\n  {name} " not in out] == []


def test_each_command_has_help_of_its_own(desk: Desk):
    started = {name: desk.start(name, "--help", cold=True) for name in main.COMMANDS}

    for name, command in started.items():
        assert f"caption_flow {name} [OPTIONS]" in command.wait().out


def test_version_is_the_packages(desk: Desk):
    assert desk.run("--version").out.split()[-1] == __version__


@pytest.mark.parametrize("spelling", ["two_words", "two-words"])
def test_name_of_two_words_may_be_joined_either_way(monkeypatch: pytest.MonkeyPatch, spelling: str):
    wanted = click.Command("two-words")
    monkeypatch.setitem(main.COMMANDS, "two_words", "A command of two words.")
    monkeypatch.setitem(sys.modules, "caption_flow.cli.two_words", SimpleNamespace(command=wanted))

    found = main.LazyGroup().get_command(click.Context(main.cli), spelling)

    assert found is wanted


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_goes_by_both_spellings(name: str):
    group, context = main.LazyGroup(), click.Context(main.cli)

    assert group.get_command(context, name.replace("_", "-")) is group.get_command(context, name)


def test_options_go_by_both_spellings():
    words = ["--when_finished", "stay-connected", "--post_exec_hook", "a_b", "--drain_timeout=3"]
    found = main.LazyGroup().get_command(click.Context(main.cli), "worker")
    assert found is not None

    given = found.make_context("worker", words, resilient_parsing=True).params

    assert given["when_finished"] == "stay_connected"
    assert given["post_exec_hook"] == "a_b"
    assert given["drain_timeout"] == 3
