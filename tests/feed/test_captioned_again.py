"""Jobs in a row, each over what the one before it captioned, by real roles on a real Redis."""

from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source
from caption_flow.queue.connect import Connections
from tests.feeders.captioned import merge, source
from tests.made import (
    folder_source,
    jpeg,
    pictures,
    settings,
)
from tests.roles import Roles, ends, rows_of
from tests.worker.engines import CountingEngine

SIZES = {f"{n:05}.jpg": len(jpeg(n)) for n in range(5)}


class Desk:
    """One job after another; an engine says the prompt and the image's length."""

    def __init__(self, connections: Connections, root: Path) -> None:
        self._connections = connections
        self._root = root

    async def job(self, name: str, of: Source, prompt: str) -> Path:
        """Do a job to its end, and forget it but for its parts."""
        roles = Roles(self._connections, self._root, settings(prompts=(prompt,)))
        roles.folder = PartFolder(self._root, name)
        await ends(roles.feeder(of).run())
        await ends((await roles.worker(CountingEngine())).run())
        await ends(roles.sink(rows=2).run())
        await roles.client.flushall()
        return roles.folder.path

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """The rows of a job, which must have one of each sample."""
        rows = list(rows_of(PartFolder(self._root, name)))
        found = {row["id"]: row for row in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture
def desk(connections: Connections, tmp_path: Path) -> Desk:
    return Desk(connections, tmp_path / "data")


async def test_captions_are_improved_and_what_two_jobs_said_is_merged(desk: Desk, tmp_path: Path):
    root = pictures(tmp_path / "photos", range(3))
    pictures(root, range(3, 5), "more")
    first = await desk.job("first", folder_source(root), "See")
    second = await desk.job("second", source(first), "Improve: {column:captions}")
    merge(first)

    await desk.job("third", source(first, second), "{column:captions}, {captions_second}")

    seen = {("more/" if id_ >= "00003" else "") + id_: f"See {n}" for id_, n in SIZES.items()}
    better = {id_: f"Improve: {said} {said[4:]}" for id_, said in seen.items()}
    assert {id_: row["column_captions"] for id_, row in desk.rows("second").items()} == {
        id_: [said] for id_, said in seen.items()
    }
    assert {id_: row["captions"] for id_, row in desk.rows("third").items()} == {
        id_: [f"{said}, {better[id_]} {said[4:]}"] for id_, said in seen.items()
    }
    assert {row["shard"] for row in desk.rows("third").values()} == {".", "more"}


async def test_what_an_earlier_job_captions_later_is_all_that_is_fed_then(
    desk: Desk, tmp_path: Path
):
    root = pictures(tmp_path / "photos", range(3))
    first = await desk.job("first", folder_source(root), "See")
    await desk.job("second", source(first), "Again: {column:captions}")
    before = desk.rows("second")
    pictures(root, range(3, 5))
    await desk.job("first", folder_source(root), "See")
    merge(first)

    await desk.job("second", source(first), "Again: {column:captions}")

    after = desk.rows("second")
    assert after.keys() == SIZES.keys()
    assert {id_: after[id_] for id_ in before} == before
