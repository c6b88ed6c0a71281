"""Shares of the last few seconds, for figures that say how things stand now."""

import time
from collections import deque
from types import TracebackType

LATELY_SECONDS = 10.0


class Lately:
    """The share of the last while that a sum of seconds grew by."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])

    def share(self, seconds: float) -> float:
        """Take note of the sum as it is now; answers between 0 and 1."""
        now = time.monotonic()
        self._seen.append((now, seconds))
        while len(self._seen) > 2 and now - self._seen[1][0] >= LATELY_SECONDS:  # noqa: PLR2004
            self._seen.popleft()
        since, before = self._seen[0]
        return min(1.0, (seconds - before) / max(now - since, 1e-9))


class Spells:
    """Time in which something is so, for one of several tasks at least: a context around it."""

    def __init__(self) -> None:
        self._inside = 0
        self._begun = 0.0
        self._seconds = 0.0
        self._lately = Lately()

    def __enter__(self) -> None:
        if self._inside == 0:
            self._begun = time.monotonic()
        self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._seconds += time.monotonic() - self._begun

    def lately(self) -> float:
        """Say for which share of the last while it was so."""
        running = time.monotonic() - self._begun if self._inside else 0.0
        return self._lately.share(self._seconds + running)
