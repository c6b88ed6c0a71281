"""Fixtures for the doctor: a practice, in which it is called as a user calls it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.doctor import packages
from tests.doctor.practice import Practice
from tests.e2e.conftest import desk

__all__ = ["desk"]


@pytest.fixture
def practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """A folder of its own, with a good data set, and nothing installed for any engine."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in ("CAPTION_FLOW_REDIS", "CAPTION_FLOW_TOKEN", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("caption_flow.logs.set_up", lambda **_: None)
    made = Practice(tmp_path, monkeypatch)
    monkeypatch.setattr(packages, "distributions", made.distributions)
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)  # so that it is not there
    yield made
    for number, handler in kept.items():
        signal.signal(number, handler)
