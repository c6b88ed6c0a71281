"""What a process has taken stays known when it ends."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.bench.tree import Tree

BURN = "import time\nwhile time.process_time() < 0.05: pass\nprint(flush=True); input()"


def test_process_that_ends_while_it_is_looked_at_has_what_it_took(monkeypatch: pytest.MonkeyPatch):
    burning = subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    tree = Tree(burning.pid)
    assert burning.stdout is not None
    burning.stdout.readline()
    taken, _ = tree.seconds()
    burning.communicate(b"\n")
    listed = [SimpleNamespace(name=str(burning.pid))]  # which it was a moment before
    monkeypatch.setattr(os, "scandir", lambda _: listed)

    assert tree.seconds()[0] == taken > 0
