"""Worker: the mean of what was measured lately, with more weight on what came last."""

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_WEIGHT = 0.1  # of what is measured last


class Mean:
    """Nought until something is measured."""

    def __init__(self) -> None:
        self.value = 0.0
        self._known = False

    def note(self, value: float) -> None:
        """Take a measurement in."""
        self.value += (_WEIGHT if self._known else 1.0) * (value - self.value)
        self._known = True

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the seconds of a context that comes to its end."""
        begun = time.monotonic()
        yield
        self.note(time.monotonic() - begun)

    async def of(self, call: Awaitable[T]) -> T:
        """Measure the seconds of a call that is answered, and give its answer."""
        with self.timed():
            return await call
