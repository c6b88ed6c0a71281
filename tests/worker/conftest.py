"""The roles on a real Redis, made brisk."""

import pytest

from caption_flow.retry import Backoff
from tests.roles import brisk, roles

__all__ = ["brisk", "roles"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what failed be tried again soon."""
    soon = Backoff(first=0.001, ceiling=0.01)
    monkeypatch.setattr("caption_flow.worker.caretaker.START_BACKOFF", soon)
    monkeypatch.setattr("caption_flow.worker.settle.RETRY_BACKOFF", soon)
