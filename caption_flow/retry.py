"""When to try again: jittered exponential back-off with a ceiling."""

import random
from collections.abc import Iterator

from msgspec import Struct


class Backoff(Struct, frozen=True):
    """Delays that double up to a ceiling, each drawn from the upper half of its range.

    "Equal jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/:
    never so short that the waiting is in vain, never all waiters at once.
    """

    first: float = 0.1  # seconds
    ceiling: float = 10.0  # seconds

    def delays(self) -> Iterator[float]:
        """Yield the seconds to wait before each next try, without end."""
        span = self.first
        while True:
            yield span * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
            span = min(self.ceiling, span * 2)
