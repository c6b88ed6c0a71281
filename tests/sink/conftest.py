"""The roles on a real Redis, made brisk, with sinks that can die in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.queue.connect import Connections
from tests.roles import Roles, brisk
from tests.sink.crash import MortalFolder

__all__ = ["brisk"]


@pytest.fixture
def roles(connections: Connections, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(connections, tmp_path)
    made.folder = folder = MortalFolder(made)
    yield made
    folder.bury()
