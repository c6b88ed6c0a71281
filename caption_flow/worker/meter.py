"""Worker: how full the engine is kept.

Two shares, both of the engine's slots over time, so that two slots of eight that are free all the
time are a quarter. *Free*: slots with nothing in them, for whatever reason. *Idle*: slots that were
free while samples waited, here or in the queue; of the time in which there was work for all slots,
so that neither the wait for the first samples nor an empty queue counts for or against anybody.
"""

import time

from caption_flow.lately import Lately


class Meter:
    """Counts requests inside the engine, and the time in which slots were free."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._since = self._last = time.monotonic()
        self.inside = 0  # more than the capacity, where some wait there for a slot
        self.left = 0  # requests that have left the engine
        self._waiting = 0
        self._elsewhere = False
        self.free_seconds = 0.0  # of slots, on average
        self.idle_seconds = 0.0  # likewise, of these while samples waited
        self.busy_seconds = 0.0  # in which there was work for all slots
        self.images = 0  # fetched, from Redis or from where they lie
        self._free_lately = Lately()
        self._idle_lately = Lately()
        self._busy_lately = Lately()

    def enter(self) -> None:
        """A request that waited has gone into the engine."""
        self._tick()
        self.inside += 1

    def exit(self) -> None:
        """A request has left the engine."""
        self._tick()
        self.inside -= 1
        self.left += 1

    def wait(self, samples: int) -> None:
        """So many more samples are held that the engine has not begun with; fewer if negative."""
        self._tick()
        self._waiting += samples

    def more(self, *, elsewhere: bool) -> None:
        """Say whether the queue has more samples than were claimed, as far as is known."""
        self._tick()
        self._elsewhere = elsewhere

    def shares(self) -> tuple[float, float]:
        """Give the free and the idle share."""
        self._tick()
        measured = max(self._last - self._since, 1e-9)
        return self.free_seconds / measured, self.idle_seconds / max(self.busy_seconds, 1e-9)

    def lately(self) -> tuple[float, float]:
        """Give them of the last few seconds."""
        self._tick()
        busy = self._busy_lately.share(self.busy_seconds)
        idle = self._idle_lately.share(self.idle_seconds)
        return self._free_lately.share(self.free_seconds), min(1.0, idle / busy) if busy else 0.0

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._last = now - self._last, now
        free = 1.0 - self.inside / self.capacity
        if free <= 0.0:
            self.busy_seconds += passed
            return
        self.free_seconds += free * passed
        if self._waiting > 0 or self._elsewhere:
            self.idle_seconds += free * passed
            self.busy_seconds += passed
