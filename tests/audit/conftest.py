"""A job in the middle of its life, and an auditor of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.audit import rewrite
from tests.audit.archive import Archive
from tests.audit.office import Office
from tests.roles import Roles, brisk, roles

__all__ = ["brisk", "roles"]


@pytest.fixture
def office(roles: Roles, tmp_path: Path) -> Iterator[Office]:
    """A job of 20 pictures in two shards; nothing is done yet."""
    made = Office(roles, tmp_path / "pictures")
    yield made
    made.close()


@pytest.fixture
def archive(office: Office) -> Archive:
    """The job, as contributors caption it."""
    return Archive(office)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are taken out of parts without waiting for those who read them."""
    monkeypatch.setattr(rewrite, "DURABLE_SECONDS", 0.0)
    monkeypatch.setattr("caption_flow.audit.revoke.BUSY_SECONDS", 0.0)
