"""Command line: how fast a job goes, and when it will be done."""

import time

from caption_flow.model import Counts

RATE_SECONDS = 20.0  # over which a rate is taken


class Rate:
    """Samples a second, over the last while in which any were settled."""

    def __init__(self) -> None:
        self._history: list[tuple[float, int]] = []
        self.now = 0.0  # samples a second

    def note(self, counts: Counts) -> None:
        """Take a look at the books into account."""
        now, settled = time.monotonic(), _settled(counts)
        self._history.append((now, settled))
        while now - self._history[0][0] > RATE_SECONDS:
            self._history.pop(0)
        (start, first), span = self._history[0], now - self._history[0][0]
        # A retry takes dead letters back off what is settled.
        self.now = max(0.0, (settled - first) / span) if now > start else 0.0

    def left(self, counts: Counts) -> float | None:
        """Say in how many seconds all will be settled; None where nobody can tell."""
        if not (self.now and counts.plan_done):
            return None
        return (counts.planned - _settled(counts)) / self.now


def _settled(counts: Counts) -> int:
    return counts.completed + counts.dead
