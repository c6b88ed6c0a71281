"""Worker: how full the engine is kept."""

import time

from caption_flow.lately import Lately


class Meter:
    """Counts requests inside the engine, and the time in which a slot was free."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._since = self._last = time.monotonic()
        self.inside = 0
        self._waiting = 0
        self.free_seconds = 0.0  # a slot was free, for whatever reason
        self.idle_seconds = 0.0  # a slot was free while this worker held a sample for it
        self.images = 0  # fetched, from Redis or from where they lie
        self._free_lately = Lately()
        self._idle_lately = Lately()

    def enter(self) -> None:
        """A request that waited has gone into the engine."""
        self._tick()
        self.inside += 1

    def exit(self) -> None:
        """A request has left the engine."""
        self._tick()
        self.inside -= 1

    def wait(self, samples: int) -> None:
        """So many more samples are held that the engine has not begun with; fewer if negative."""
        self._tick()
        self._waiting += samples

    def shares(self) -> tuple[float, float]:
        """Give the free and the idle time as shares of the time measured."""
        self._tick()
        measured = max(self._last - self._since, 1e-9)
        return self.free_seconds / measured, self.idle_seconds / measured

    def lately(self) -> tuple[float, float]:
        """Give them as shares of the last few seconds."""
        self._tick()
        return self._free_lately.share(self.free_seconds), self._idle_lately.share(
            self.idle_seconds
        )

    def _tick(self) -> None:
        now = time.monotonic()
        if self.inside < self.capacity:
            self.free_seconds += now - self._last
            if self._waiting > 0:
                self.idle_seconds += now - self._last
        self._last = now
