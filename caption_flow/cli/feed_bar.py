"""Command line: how far a feeder is, shown on a terminal while it feeds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from caption_flow.cli.bar import Bar
from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside
from caption_flow.model import Counts

EVERY_SECONDS = 1.0  # between two looks
FULL = 0.5  # of the last while without room: worth a word


class FeedBar(Beside):
    """Looks at the books of a job while its context lasts, where anybody sees it."""

    def __init__(
        self,
        bar: Bar,
        counts: Callable[[], Awaitable[Counts]],
        figures: Callable[[], Mapping[str, float]],
    ) -> None:
        self._bar = bar
        self._counts = counts
        self._figures = figures

    async def _run(self) -> None:
        while self._bar.shown:
            # A queue that does not answer is told of in log lines; the bar stands still.
            with suppress(CaptionFlowError, TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    self._show(await self._counts())
            await asyncio.sleep(EVERY_SECONDS)

    def _show(self, counts: Counts) -> None:
        figures = self._figures()
        self._bar.show(
            "feeding",
            counts.offered,
            counts.planned if counts.plan_done else None,
            f"{int(figures['skipped']):,} known" if figures["skipped"] else "",
            f"{int(figures['failed']):,} given up" if figures["failed"] else "",
            "waiting for room" if figures["full_lately"] > FULL else "",
        )
