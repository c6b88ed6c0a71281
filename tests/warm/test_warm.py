"""A process that is started warm is like one that a new Python runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, wait_until
from tests.warm.__main__ import READERS, passing_over
from tests.warm.orders import Start
from tests.warm.start import ROOT, Nursery

__all__ = ["desk"]


@pytest.mark.parametrize(
    "words", [("captoin",), ("--version",), ("feed", "--help"), ("worker", "--verbose")]
)
def test_it_says_and_ends_the_same(desk: Desk, words: tuple[str, ...]):
    warm, cold = desk.run(*words), desk.run(*words, cold=True)

    assert (warm.code, warm.out) == (cold.code, cold.out)
    assert warm.err.splitlines()[-1:] == cold.err.splitlines()[-1:]


def test_it_has_a_folder_and_a_session_of_its_own_and_dies_of_a_signal(desk: Desk):
    running = desk.start("worker", "--redis", "redis://localhost:1", "--job", "j")
    wait_until(lambda: "No answer" in running.err, "a worker that waits")

    assert Path(f"/proc/{running.pid}/cwd").readlink() == desk.folder
    assert os.getsid(running.pid) == running.pid
    running.kill()
    assert running.wait().code == -9


def test_what_reads_variables_is_imported_by_each_process():
    program = "from tests.warm.__main__ import warm_up; warm_up(); import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )

    assert set(done.stdout.split()).isdisjoint(READERS)


@pytest.mark.parametrize("name", ["torch", "huggingface_hub.errors", "opentelemetry.sdk.trace"])
def test_module_that_reads_variables_may_be_missing(name: str):
    with passing_over(READERS):
        raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize("name", ["caption_flow.sink", "torchvision", "opentelemetry", None])
def test_module_of_ours_that_cannot_be_imported_is_told(name: str | None):
    """As of a circular import, which names the module that has only begun."""
    with pytest.raises(ImportError), passing_over(READERS):
        raise ImportError(name=name)


def test_nobody_waits_for_one_that_could_not_be_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (program := tmp_path / "python").write_text("#!/bin/sh\nread order\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    nursery = Nursery()

    with pytest.raises(RuntimeError, match="has ended"):
        nursery.start(Start((), "", {}, "", ""))
    nursery.close()
