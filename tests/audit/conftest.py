"""A job in the middle of its life, and an auditor of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.office import Office
from tests.roles import Roles, brisk, roles

__all__ = ["brisk", "roles"]


@pytest.fixture
def office(roles: Roles, tmp_path: Path) -> Iterator[Office]:
    """A job of 20 pictures in two shards; nothing is done yet."""
    made = Office(roles, tmp_path / "pictures")
    yield made
    made.close()
