"""Compact beside a sink that writes and one who reads: rows are all there, each once."""

import threading
from typing import Any

import pyarrow.parquet as pq

from caption_flow.audit.compact import Compaction
from caption_flow.audit.registers import QueueRegister
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import snapshot
from caption_flow.lifecycle import Drain
from tests.roles import Roles, ends, running


class Reader(threading.Thread):
    """Reads all parts again and again: never fewer rows than before, and each once."""

    def __init__(self, folder: PartFolder) -> None:
        super().__init__()
        self._folder = PartFolder(folder.path.parent, folder.path.name)
        self._end = threading.Event()
        self.reads = 0
        self.wrong = ""

    def run(self) -> None:
        before: set[str] = set()
        while not self._end.is_set() and not self.wrong:
            with snapshot(self._folder) as parts:
                found = [id_ for name in parts.names for id_ in self._ids(parts.open(name))]
            if len(set(found)) < len(found) or not before <= set(found):
                self.wrong = (
                    f"{len(found)} rows, {len(set(found))} of them once, {len(before)} before"
                )
            before = set(found)
            self.reads += 1

    def _ids(self, file: Any) -> list[str]:
        with file, pq.ParquetFile(file) as opened:
            ids: list[str] = opened.read(columns=["id"]).column("id").to_pylist()
            return ids

    def stop(self) -> None:
        self._end.set()
        self.join()


async def test_readers_see_each_row_once_while_a_sink_writes_and_parts_are_merged(roles: Roles):
    drain, rows = Drain(), 120
    roles.folder.make()
    reader = Reader(roles.folder)
    await roles.finish(range(rows))
    async with running(roles.sink(rows=4, drain=drain, exit_when_done=True).run()) as sink:
        reader.start()
        merges = 0
        while not sink.done():
            merges += (await compact(roles)).into
        await ends(sink)
    reader.stop()
    await compact(roles)

    assert reader.wrong == ""
    assert reader.reads
    assert merges
    assert sorted(row["id"] for row in roles.rows()) == [f"{n:05}.jpg" for n in range(rows)]
    assert sorted(await roles.caption_queue().records()) == roles.folder.published()
    assert list(roles.folder.path.glob(".*")) == []


async def compact(roles: Roles) -> Any:
    register = QueueRegister(roles.folder, roles.caption_queue())
    return await Compaction(roles.folder, register, rows=40).run()
