"""Fixtures: a desk for each test, or for all tests of a module that look at one job."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A folder to work in."""
    with Desk(tmp_path / "desk") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A folder in which one job is done, for several tests to look at."""
    with Desk(tmp_path_factory.mktemp("shared") / "desk") as opened:
        yield opened
