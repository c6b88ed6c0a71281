"""Sink: the sinks of all lanes of a job in one process, each with a part of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from caption_flow.lifecycle import cancel
from caption_flow.sink.sink import Sink

_ADDED = ("rows", "open_rows")


class Sinks:
    """As many sinks as the job has lanes; most jobs have one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    @property
    def path(self) -> Path:
        """The folder of the parts."""
        return self._sinks[0].path

    @property
    def rows(self) -> int:
        """Captions that were put into published parts."""
        return sum(sink.rows for sink in self._sinks)

    def figures(self) -> dict[str, float]:
        """Count what was done in all lanes; of the last part of any of them what it was."""
        found = [sink.figures() for sink in self._sinks]
        added = {name: sum(one[name] for one in found) for name in _ADDED}
        return max(found, key=lambda one: one.get("last_part_at", 0.0)) | added

    def facts(self) -> dict[str, str]:
        """Name the folder, and the last part."""
        return max(self._sinks, key=lambda sink: sink.figures().get("last_part_at", 0.0)).facts()

    async def run(self) -> None:
        """Write parts until asked to drain, or until the job is done."""
        running = [asyncio.create_task(sink.run()) for sink in self._sinks]
        try:
            await asyncio.gather(*running)
        finally:
            await cancel(*running)
